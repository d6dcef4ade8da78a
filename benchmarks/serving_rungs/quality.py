"""What a shorter number format costs in answers: one adapter, the same rows, in every format."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from tasks import METRICS, capped, read_rows

from skhost.uploads import ReadRequest, read_dataset
from sktuning.classify import Classifier
from sktuning.config import AdapterConfig, AdapterSpec, Task, TrainingConfig
from sktuning.data import Example
from sktuning.decode import Array, decide
from sktuning.logits import logits_of
from sktuning.metrics import MAIN_METRIC, score
from sktuning.tokens import EncodedRow
from sktuning.training.trainer import Trainer

TRAIN_ROWS, TEST_ROWS = 400, 300


def compare(classifiers: Mapping[str, Classifier], folder: Path) -> list[dict[str, Any]]:
    """A row a format: the metric of a short training's adapter, and how often it answers alike.

    The adapter is trained on the first of the classifiers, which the others are compared with.
    """
    first = next(iter(classifiers.values()))
    with capped(folder / "train.jsonl", TRAIN_ROWS) as file:
        dataset = read_dataset(file, ReadRequest()).dataset
    trainer = Trainer(first.base, dataset, AdapterSpec(training=TrainingConfig(epochs=1)))
    for _ in trainer.run():
        continue
    adapter = trainer.finish().adapter
    test = _drawn(read_rows(folder / "test.jsonl", dataset))
    inputs = first.encoder.encode([example.input for example in test], adapter.config)
    rows = [row for row in inputs if isinstance(row, EncodedRow)]
    targets = [e.target for e, row in zip(test, inputs, strict=True) if isinstance(row, EncodedRow)]
    metric = METRICS.get(folder.name, MAIN_METRIC[dataset.task])
    found: list[dict[str, Any]] = []
    exact: list[Array] | None = None
    for dtype, classifier in classifiers.items():
        base = classifier.base
        logits = logits_of(classifier, adapter.to(base.device, base.dtype), rows)
        exact = exact or logits
        found.append(
            {
                "rung": "quality",
                "dataset": folder.name,
                "dtype": dtype,
                "rows": len(rows),
                "metric": metric,
                "value": float(score(adapter.config, logits, targets)[metric]),
                "same": _same(adapter.config, logits, exact),
                "logit_error": _error(logits, exact),
            }
        )
    return found


def _drawn(examples: Sequence[Example]) -> list[Example]:
    kept = np.random.default_rng(0).permutation(len(examples))[:TEST_ROWS]
    return [examples[i] for i in sorted(kept)]


def _same(config: AdapterConfig, logits: Sequence[Array], exact: Sequence[Array]) -> float:
    """The share of rows with the same answer; of regression's, within a hundredth."""
    pairs = [(decide(config, a), decide(config, b)) for a, b in zip(logits, exact, strict=True)]
    if config.task is Task.REGRESSION:
        return float(np.mean([abs(float(a) - float(b)) < 0.01 for a, b in pairs]))  # type: ignore[arg-type]
    return float(np.mean([a == b for a, b in pairs]))


def _error(logits: Sequence[Array], exact: Sequence[Array]) -> float:
    """The largest difference, over the largest logit."""
    seen, wanted = (np.concatenate([np.ravel(each) for each in a]) for a in (logits, exact))
    return float(np.nanmax(np.abs(seen - wanted)) / np.nanmax(np.abs(wanted)))
