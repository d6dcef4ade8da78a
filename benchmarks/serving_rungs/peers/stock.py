"""The stock model that peers build on: the same base with a head, from transformers."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from transformers import AutoModelForSequenceClassification, AutoTokenizer

from serving_rungs.over_http import timed
from serving_rungs.turns import Contender, Sample
from serving_rungs.workload import Workload
from sktuning.loading import find_source

LABELS = 4
MAX_TOKENS = 256
WINDOW = 64  # texts that wait when a forward begins


@dataclass(frozen=True, slots=True)
class Place:
    """Where and how peers run.

    Attributes:
        base: as `FrozenBase.load` takes it.
        seconds: a turn.
    """

    base: str | None
    dtype: str
    work: Workload
    seconds: float

    @property
    def location(self) -> str:
        """The base's folder."""
        return str(find_source(self.base).location)

    def model(self) -> Any:
        """The base with a new head for sequences."""
        return AutoModelForSequenceClassification.from_pretrained(
            self.location, num_labels=LABELS, dtype=getattr(torch, self.dtype)
        ).eval()

    def tokenizer(self) -> Any:
        """The base's own."""
        return AutoTokenizer.from_pretrained(self.location)

    def contender(
        self, peer: str, serve: Callable[[Sequence[str], Sequence[int]], object], rows: int
    ) -> Contender:
        """`serve` gets so many texts at once, and the adapters that they ask for."""
        work = self.work

        def run(number: int) -> int:
            start = number * rows % (len(work.texts) - rows + 1)
            with torch.inference_mode():
                serve(work.texts[start : start + rows], work.wanted[start : start + rows])
            return rows

        def turn(_: int) -> Sample:
            return timed(run, self.seconds)

        return Contender({"rung": "peer", "peer": peer, "dtype": self.dtype}, turn)


def encoded(tokenizer: Any, texts: Sequence[str]) -> Any:
    """Padded to the longest."""
    return tokenizer(
        list(texts), padding="longest", truncation=True, max_length=MAX_TOKENS, return_tensors="pt"
    )
