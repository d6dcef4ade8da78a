"""An adapter over labelled examples: its logits in batches, and how good its answers are."""

from collections.abc import Iterator, Sequence
from typing import Any

from sktuning.adapter import Adapter
from sktuning.classify import Classifier
from sktuning.data import Example
from sktuning.decode import Array
from sktuning.errors import DataError
from sktuning.metrics import MAIN_METRIC, scalars, score
from sktuning.tokens import EncodedRow

__all__ = ["MAIN_METRIC", "batches", "evaluate", "logits_of", "scalars", "score"]

BATCH_TOKENS = 4096


def evaluate(
    classifier: Classifier,
    adapter: Adapter,
    examples: Sequence[Example],
    *,
    batch_tokens: int = BATCH_TOKENS,
    max_length: int | None = None,
) -> dict[str, Any]:
    """Classify `examples` and score the answers; see `score`.

    Rows that cannot be read (an empty text, say) are left out and counted as ``num_skipped``.

    Args:
        batch_tokens: tokens a forward may have.
        max_length: cut longer rows to this; None is the base's limit.

    Raises:
        DataError: none of the examples can be read.
    """
    rows = classifier.encoder.encode(
        [example.input for example in examples], adapter.config, max_length=max_length
    )
    kept = [i for i, row in enumerate(rows) if isinstance(row, EncodedRow)]
    usable = [row for row in rows if isinstance(row, EncodedRow)]
    if not usable:
        raise DataError(f"none of {len(examples)} examples can be read: {rows[:1]}")
    logits = logits_of(classifier, adapter, usable, batch_tokens=batch_tokens)
    metrics = score(adapter.config, logits, [examples[i].target for i in kept])
    skipped = len(examples) - len(kept)
    return {**metrics, "num_skipped": skipped} if skipped else metrics


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
