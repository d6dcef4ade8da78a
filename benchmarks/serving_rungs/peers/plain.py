"""A plain transformers pipeline on the same base: one model, no adapters."""

from collections.abc import Iterator, Sequence

from transformers import pipeline

from serving_rungs.peers.stock import Place
from serving_rungs.turns import Contender

PLAIN = "transformers pipeline"
BATCH = 32


def contenders(place: Place) -> Iterator[Contender]:
    """Text by text, and in batches."""
    made = pipeline("text-classification", model=place.model(), tokenizer=place.tokenizer())

    def serve(texts: Sequence[str], _: Sequence[int]) -> None:
        made(list(texts), batch_size=len(texts), truncation=True)

    yield place.contender(f"{PLAIN}, text by text", serve, rows=1)
    yield place.contender(f"{PLAIN}, batches of {BATCH}", serve, rows=BATCH)
