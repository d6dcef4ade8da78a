"""An adapter over labelled examples: its logits in batches, and how good its answers are."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

from sktuning import calibration
from sktuning.adapter import Adapter
from sktuning.classify import Classifier
from sktuning.data import Example, Target
from sktuning.decode import Array
from sktuning.errors import DataError
from sktuning.metrics import MAIN_METRIC, scalars, score
from sktuning.tokens import EncodedRow

__all__ = ["MAIN_METRIC", "batches", "calibrate", "evaluate", "logits_of", "scalars", "score"]

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
    answered = _answer(classifier, adapter, examples, batch_tokens, max_length)
    return answered.skips | score(adapter.config, answered.logits, answered.targets)


def calibrate(
    classifier: Classifier,
    adapter: Adapter,
    examples: Sequence[Example],
    *,
    batch_tokens: int = BATCH_TOKENS,
    max_length: int | None = None,
) -> tuple[Adapter, dict[str, Any]]:
    """`evaluate`, and the adapter with temperature, thresholds and risk levels fitted to the rows.

    The metrics are those of `sktuning.calibration.calibrate`.

    Raises:
        DataError: none of the examples can be read.
    """
    answered = _answer(classifier, adapter, examples, batch_tokens, max_length)
    config, metrics = calibration.calibrate(adapter.config, answered.logits, answered.targets)
    return replace(adapter, config=config), answered.skips | metrics


@dataclass(frozen=True, slots=True)
class _Answered:
    logits: Sequence[Array]
    targets: Sequence[Target]
    num_skipped: int

    @property
    def skips(self) -> dict[str, Any]:
        return {"num_skipped": self.num_skipped} if self.num_skipped else {}


def _answer(
    classifier: Classifier,
    adapter: Adapter,
    examples: Sequence[Example],
    batch_tokens: int,
    max_length: int | None,
) -> _Answered:
    rows = classifier.encoder.encode(
        [example.input for example in examples], adapter.config, max_length=max_length
    )
    pairs = zip(rows, examples, strict=True)
    kept = [(row, example) for row, example in pairs if isinstance(row, EncodedRow)]
    if not kept:
        raise DataError(f"none of {len(examples)} examples can be read: {rows[:1]}")
    usable = [row for row, _ in kept]
    logits = logits_of(classifier, adapter, usable, batch_tokens=batch_tokens)
    return _Answered(logits, [e.target for _, e in kept], len(examples) - len(kept))


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
