"""An adapter over labelled examples: how good its answers are, and how far to trust them."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

from sktuning import calibration
from sktuning.adapter import Adapter
from sktuning.classify import Classifier
from sktuning.data import Example, Target
from sktuning.decode import Array
from sktuning.errors import DataError
from sktuning.logits import BATCH_TOKENS, logits_of
from sktuning.metrics import MAIN_METRIC, scalars, score
from sktuning.tokens import EncodedRow

__all__ = ["MAIN_METRIC", "calibrate", "evaluate", "scalars", "score"]


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
