"""An adapter over labelled examples: how good its answers are, and how far to trust them."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

from sktuning import calibration
from sktuning.adapter import Adapter
from sktuning.classify import Classifier
from sktuning.config import AdapterConfig
from sktuning.data import Example, Target
from sktuning.errors import DataError
from sktuning.logits import BATCH_TOKENS, logits_of
from sktuning.metrics import MAIN_METRIC, scalars, score
from sktuning.tokens import EncodedRow, Encoder

__all__ = ["MAIN_METRIC", "Questions", "calibrate", "evaluate", "read", "scalars", "score"]


@dataclass(frozen=True, slots=True)
class Questions:
    """Labelled examples as a forward takes them: read once for every adapter judged by them."""

    rows: Sequence[EncodedRow]
    targets: Sequence[Target]
    num_skipped: int  # examples that cannot be read

    @property
    def skips(self) -> dict[str, Any]:
        """What the metrics say of them; nothing when there are none."""
        return {"num_skipped": self.num_skipped} if self.num_skipped else {}


def read(
    encoder: Encoder,
    config: AdapterConfig,
    examples: Sequence[Example],
    *,
    max_length: int | None = None,
) -> Questions:
    """Read examples for adapters of a configuration.

    Args:
        max_length: cut longer rows to this; None is the base's limit.

    Raises:
        DataError: none of the examples can be read.
    """
    rows = encoder.encode([example.input for example in examples], config, max_length=max_length)
    pairs = zip(rows, examples, strict=True)
    kept = [(row, example.target) for row, example in pairs if isinstance(row, EncodedRow)]
    if not kept:
        raise DataError(f"none of {len(examples)} examples can be read: {rows[:1]}")
    usable, targets = zip(*kept, strict=True)
    return Questions(usable, targets, len(examples) - len(kept))


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
    asked = read(classifier.encoder, adapter.config, examples, max_length=max_length)
    logits = logits_of(classifier, adapter, asked.rows, batch_tokens=batch_tokens)
    return asked.skips | score(adapter.config, logits, asked.targets)


def calibrate(
    classifier: Classifier, adapter: Adapter, asked: Questions
) -> tuple[Adapter, dict[str, Any]]:
    """`evaluate`, and the adapter with temperature, thresholds and risk levels fitted to the rows.

    The metrics are those of `sktuning.calibration.calibrate`.
    """
    logits = logits_of(classifier, adapter, asked.rows)
    config, metrics = calibration.calibrate(adapter.config, logits, asked.targets)
    return replace(adapter, config=config), asked.skips | metrics
