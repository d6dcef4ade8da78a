"""What classifying asks for and what it answers with: values only."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

from sktuning.decode import DecodeOptions, Scores

STAGES: Final = ("pin", "tokenise", "queue", "run", "decode")


@dataclass(frozen=True, slots=True)
class ClassifyOptions:
    """How a request wants its answers.

    Attributes:
        top_k, threshold, scores, max_risk: see `sktuning.decode.DecodeOptions`.
        truncate: False makes a text beyond the limit an error of its item.
    """

    top_k: int | None = None
    threshold: float | None = None
    scores: Scores = "prob"
    truncate: bool = True
    max_risk: float | None = None

    @property
    def decoding(self) -> DecodeOptions:
        """The part that decoding needs.

        Raises:
            ConfigError: a value that cannot work.
        """
        return DecodeOptions(self.top_k, self.threshold, self.scores, self.max_risk)


@dataclass(frozen=True, slots=True)
class Stage:
    """A piece of a request's way: one of `STAGES`, when it began (monotonic), how long it took."""

    name: str
    began_at: float
    seconds: float
    batch_items: int = 0  # of a run: texts of the forward, other requests' too


@dataclass(frozen=True, slots=True)
class Timings:
    """The stages of a request, in order; each of its forwards is a `run`."""

    stages: tuple[Stage, ...] = ()

    @property
    def batch_items(self) -> int:
        """Texts of its largest forward."""
        return max((stage.batch_items for stage in self.stages), default=0)

    def to_ms(self) -> dict[str, float]:
        """Milliseconds by stage, as ``Server-Timing`` wants them: of the longest of each."""
        longest = dict.fromkeys((stage.name for stage in self.stages), 0.0)
        for stage in self.stages:
            longest[stage.name] = max(longest[stage.name], stage.seconds * 1000)
        return longest


@dataclass(frozen=True, slots=True)
class AdapterAnswer:
    """One adapter's answers to a request's inputs, in their order."""

    adapter: str
    version: int
    digest: str
    task: str
    results: Sequence[dict[str, Any]]  # an item, or {"error": {"code", "message"}}
    num_tokens: int  # of all texts, special tokens included, prompts not
    timings: Timings  # of the whole request

    def to_dict(self) -> dict[str, Any]:
        """As the API answers."""
        return {
            "adapter": self.adapter,
            "version": self.version,
            "digest": self.digest,
            "task": self.task,
            "results": list(self.results),
            "usage": {"tokens": self.num_tokens},
        }
