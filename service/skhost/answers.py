"""What classifying asks for and what it answers with: values only."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from sktuning.decode import DecodeOptions, Scores


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
class Timings:
    """Seconds that a request's stages took; of its slowest text where there are several."""

    pin_s: float = 0.0  # finding the adapters and bringing them in
    tokenise_s: float = 0.0
    queue_s: float = 0.0
    run_s: float = 0.0
    decode_s: float = 0.0

    def to_ms(self) -> dict[str, float]:
        """By stage, in milliseconds, as ``Server-Timing`` wants them."""
        stages = ("pin", "tokenise", "queue", "run", "decode")
        return {stage: getattr(self, f"{stage}_s") * 1000 for stage in stages}


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
