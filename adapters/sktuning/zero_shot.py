"""An adapter for the first day: made from label names and descriptions alone, without any data.

Each label becomes a point among the texts: a few short sentences with its name go through the
frozen base, behind the same prompt that the adapter serves with, and a linear head compares texts
with these points. On sentence-embedding bases that is a usable start, which training replaces.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Self

import torch
from torch import Tensor

from sktuning import artifact, card, golden
from sktuning.adapter import Adapter
from sktuning.classify import Classifier, pool
from sktuning.config import AdapterConfig, Task, Transform
from sktuning.data import Example, TextInput
from sktuning.errors import ConfigError
from sktuning.golden import Golden
from sktuning.heads import Head
from sktuning.logits import batches
from sktuning.methods import default_offset
from sktuning.state import PromptState
from sktuning.tokens import EncodedRow
from sktuning.wording import readable, says_something

PROMPT: Final = "the text:"  # one that names the labels draws all texts together
TEMPLATES: Final = ("{}", "This message is {}.", "This is about {}.", "I have a question about {}.")
SHARPNESS: Final = 20.0  # logits a unit of cosine: neither sure of everything nor of nothing
MAX_LABELS: Final = 500
MAX_DESCRIPTIONS: Final = 4  # a label
MAX_CHARS: Final = 1000  # of a label or a description
BATCH_TOKENS: Final = 512  # a forward; small, so that other work comes between two

Descriptions = Mapping[str, Sequence[str]]


@dataclass(frozen=True, slots=True, eq=False)
class Untrained:
    """An adapter that saw no data, with what its artifact needs beside it."""

    adapter: Adapter
    golden: Golden
    descriptions: Descriptions

    def save(self, directory: Path) -> str:
        """Write the artifact and return its digest; see `artifact.write`."""
        text = card.render_untrained(self.adapter, self.descriptions)
        return artifact.write(directory, self.adapter, self.golden, text)


class ZeroShot:
    """Makes one single-label adapter: `read` computes, then `finish` has the adapter.

    Args:
        classifier: of the base that the adapter is for.
        labels: at least two; ``card_arrival`` is read as "card arrival".
        descriptions: by label, what its texts are about or what they say; none are needed.

    Raises:
        ConfigError: labels that say nothing or all the same, or descriptions of other labels.
    """

    def __init__(
        self,
        classifier: Classifier,
        labels: Sequence[str],
        descriptions: Descriptions | None = None,
    ) -> None:
        self._classifier = classifier
        self._descriptions = dict(descriptions or {})
        _check(labels, self._descriptions)
        self._config = AdapterConfig(
            task=Task.SINGLE_LABEL,
            labels=tuple(labels),
            base=classifier.base.identity,
            transform=Transform.FROZEN,
            prompt_text=PROMPT,
            num_virtual_tokens=len(classifier.encoder.prompt_ids(PROMPT)),
            text_offset=default_offset(classifier.base),
        )
        self._readings = [_Reading.of(name, self._descriptions.get(name, ())) for name in labels]
        self._rows = self._encoded()
        self._features = torch.zeros(len(self._rows), classifier.base.hidden_size)

    @classmethod
    def make(
        cls,
        classifier: Classifier,
        labels: Sequence[str],
        descriptions: Descriptions | None = None,
    ) -> Untrained:
        """All of it at once.

        Raises:
            ConfigError: see the class.
            DataError: the base gives no finite answer.
        """
        work = cls(classifier, labels, descriptions)
        for _ in work.read():
            pass
        return work.finish()

    def read(self) -> Iterator[int]:
        """Read the sentences behind the prompt; yields how many are read, after each forward."""
        state = self._state()
        num_read = 0
        for batch in batches([len(row) + state.length for row in self._rows], BATCH_TOKENS):
            self._features[batch] = self._pooled([self._rows[i] for i in batch], state)
            num_read += len(batch)
            yield num_read

    def finish(self) -> Untrained:
        """The adapter, on the processor; runs a forward for its golden rows.

        Raises:
            DataError: the base gives no finite answer.
        """
        base = self._classifier.base
        adapter = Adapter(self._config, self._state().to("cpu", torch.float32), self._head())
        examples = [Example(TextInput(text), r.label) for r in self._readings for text in r.texts]
        rows = golden.record(self._classifier, adapter.to(base.device, base.dtype), examples)
        return Untrained(adapter, rows, self._descriptions)

    def _state(self) -> PromptState:
        return PromptState(kv=self._classifier.semantics.get(PROMPT).kv)

    def _encoded(self) -> list[EncodedRow]:
        """The sentences as tokens, one label after the other."""
        encoder, rows = self._classifier.encoder, []
        read: dict[tuple[tuple[int, ...], ...], str] = {}
        for reading in self._readings:
            found = encoder.encode([TextInput(text) for text in reading.texts], self._config)
            for row in found:
                if not isinstance(row, EncodedRow):
                    raise ConfigError(f"label {reading.label!r:.100}: {row}")
                rows.append(row)
            ids = tuple(row.ids for row in rows[-len(found) :])
            other = read.setdefault(ids, reading.label)
            if other != reading.label:  # the same point: neither could win over the other
                raise ConfigError(
                    f"the base reads the labels {other!r:.100} and {reading.label!r:.100} alike; "
                    "rename one, or describe both"
                )
        return rows

    @torch.no_grad()
    def _pooled(self, rows: Sequence[EncodedRow], state: PromptState) -> Tensor:
        """What a head reads of these rows, (R, H)."""
        hidden = self._classifier.hidden([(row, self._config, state) for row in rows])
        return pool(hidden, rows, self._config).float().cpu()

    def _head(self) -> Head:
        """Logits that are SHARPNESS times the cosine with each label's point, less the mean one.

        What all points share says nothing about which is nearest, so it is taken out of the
        weights. A cosine needs the text's own length; the sentences' mean stands in for it.
        """
        points = torch.stack(list(self._points()))  # (C, H)
        length = self._features.norm(dim=1).mean().clamp(min=1e-6)
        weight = SHARPNESS / length * (points - points.mean(0))
        return Head(weight, torch.zeros(len(points)))

    def _points(self) -> Iterator[Tensor]:
        """Where each label's texts are expected, half by its name, half by what describes it."""
        at = 0
        for reading in self._readings:
            halves = []
            for texts in (reading.named, reading.described):
                if texts:
                    halves.append(_mean_direction(self._features[at : at + len(texts)]))
                    at += len(texts)
            yield _mean_direction(torch.stack(halves))


@dataclass(frozen=True, slots=True)
class _Reading:
    """The sentences that stand for a label."""

    label: str
    named: tuple[str, ...]  # its name in every template; none if it says nothing, as "1"
    described: tuple[str, ...]

    @classmethod
    def of(cls, label: str, descriptions: Sequence[str]) -> Self:
        """The sentences of a label with its descriptions."""
        templates = TEMPLATES if says_something(label) else ()
        named = tuple(template.format(readable(label)) for template in templates)
        return cls(label, named, tuple(descriptions))

    @property
    def texts(self) -> tuple[str, ...]:
        """All of them."""
        return (*self.named, *self.described)


def _check(labels: Sequence[str], descriptions: Descriptions) -> None:
    """Refuse what no adapter can be made of; says why."""
    if len(labels) > MAX_LABELS:
        raise ConfigError(f"{len(labels)} labels; without data at most {MAX_LABELS} are possible")
    known = set(labels)
    for name in descriptions:
        if name not in known:
            raise ConfigError(f"{name!r:.100} is described and is not among the labels")
    for label in labels:
        texts = descriptions.get(label, ())
        if not all(map(_is_text, (label, *texts))):
            raise ConfigError(
                f"label {label!r:.100}: it and its descriptions must be Unicode text of 1 to "
                f"{MAX_CHARS} characters"
            )
        if len(texts) > MAX_DESCRIPTIONS:
            raise ConfigError(
                f"label {label!r:.100}: {len(texts)} descriptions; at most {MAX_DESCRIPTIONS}"
            )
        if not texts and not says_something(label):
            raise ConfigError(
                f"label {label!r:.100} has no letters, and without data there is nothing else to "
                "go by; rename or describe it"
            )


def _is_text(text: str) -> bool:
    """Whether it can be read and written down: neither blank, nor endless, nor half a character."""
    is_whole = not any("\ud800" <= char <= "\udfff" for char in text)
    return is_whole and len(text.strip()) > 0 and len(text) <= MAX_CHARS


def _mean_direction(vectors: Tensor) -> Tensor:
    """(N, H) to the unit vector (H,) between their directions."""
    mean = torch.nn.functional.normalize(vectors, dim=-1).mean(0)
    return torch.nn.functional.normalize(mean, dim=-1)
