"""An adapter's logits over many rows, in batches of like length; nothing of how good they are.

Apart from `evaluate`, so that a server that only tests adapters loads no statistics.
"""

from collections.abc import Iterator, Sequence

from sktuning.adapter import Adapter
from sktuning.classify import Classifier
from sktuning.decode import Array
from sktuning.tokens import EncodedRow

BATCH_TOKENS = 4096


def logits_of(
    classifier: Classifier,
    adapter: Adapter,
    rows: Sequence[EncodedRow],
    *,
    batch_tokens: int = BATCH_TOKENS,
) -> list[Array]:
    """The logits of each row, in the order given; forwards of rows of like length."""
    found: dict[int, Array] = {}
    for batch in batches([classifier.cost(row, adapter) for row in rows], batch_tokens):
        answers = classifier.logits([(rows[i], adapter) for i in batch])
        found.update(zip(batch, answers, strict=True))
    return [found[i] for i in range(len(rows))]


def batches(costs: Sequence[int], limit: int) -> Iterator[list[int]]:
    """Indices of `costs`, cheap ones first, in groups of at most `limit`, or one alone above it."""
    batch: list[int] = []
    total = 0
    for i in sorted(range(len(costs)), key=costs.__getitem__):
        if batch and total + costs[i] > limit:
            yield batch
            batch, total = [], 0
        batch.append(i)
        total += costs[i]
    if batch:
        yield batch
