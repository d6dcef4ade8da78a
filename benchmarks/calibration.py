"""How far an adapter's probabilities can be trusted, on test rows that it never saw.

For each dataset (a folder with train.jsonl and test.jsonl, or dev.jsonl where there is no test):
train with defaults on at most so many rows, read and split as an upload is. Then, on test rows, the
expected calibration error (15 bins) at temperature one and at the adapter's, which the held-out
rows chose; and for each acceptable risk, at the confidence that the held-out rows ask for, the
share of answers that are given and the share of those that are wrong. ``ece_chance`` is what
perfect probabilities of the same sizes would show on as many rows: no calibration gets below it.
"""

import argparse
import statistics
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Self

import numpy as np
from contest.subject import sample
from report import Row, report
from tasks import capped, read_rows

from skhost.uploads import ReadRequest, read_dataset
from sktuning.adapter import Adapter
from sktuning.artifact import load, save
from sktuning.base import FrozenBase
from sktuning.calibration import Confidences, confidences, expected_calibration_error
from sktuning.classify import Classifier
from sktuning.config import AdapterConfig
from sktuning.data import Dataset, Example
from sktuning.decode import Array, risk_threshold
from sktuning.errors import ConfigError
from sktuning.logits import logits_of
from sktuning.metrics import score
from sktuning.tokens import EncodedRow
from sktuning.training.fit import fit

DATASETS = ("sst2", "trec", "banking77", "ag_news", "sms_spam", "cola", "mrpc")
ROWS, TEST_ROWS = 2000, 2000
RISKS = (0.05, 0.1, 0.2)
DRAWS = 200
_SUMMED = ("ece_before", "ece_after", "ece_chance")


@dataclass(frozen=True, slots=True)
class Answered:
    """Test rows as an adapter answered them."""

    config: AdapterConfig
    logits: Sequence[Array]
    targets: Sequence[str]

    @classmethod
    def of(cls, classifier: Classifier, adapter: Adapter, examples: Sequence[Example]) -> Self:
        """The rows that can be read, through the served path."""
        base = classifier.base
        served = adapter.to(base.device, base.dtype)
        encoded = classifier.encoder.encode([e.input for e in examples], adapter.config)
        pairs = zip(encoded, examples, strict=True)
        kept = [(row, str(e.target)) for row, e in pairs if isinstance(row, EncodedRow)]
        logits = logits_of(classifier, served, [row for row, _ in kept])
        return cls(adapter.config, logits, [target for _, target in kept])

    @property
    def accuracy(self) -> float:
        """Of all answers."""
        return float(score(self.config, self.logits, self.targets)["accuracy"])

    def seen(self, temperature: float | None = None) -> Confidences:
        """How sure the answers are, at the adapter's temperature or another."""
        config = replace(self.config, temperature=temperature or self.config.temperature)
        return confidences([config] * len(self.logits), self.logits, self.targets)


def row_of(name: str, dataset: Dataset, answered: Answered, risks: Sequence[float]) -> Row:
    """One dataset's row of the table."""
    after = answered.seen()
    before = expected_calibration_error(answered.seen(temperature=1.0))
    found = {
        "dataset": name,
        "held_out": len(dataset.held_out),
        "test_rows": len(answered.targets),
        "accuracy": answered.accuracy,
        "temperature": answered.config.temperature,
        "ece_before": before,
        "ece_after": expected_calibration_error(after),
        "ece_chance": chance(after),
        **dict(pair for risk in risks for pair in abstaining(answered.config, after, risk)),
    }
    return {k: round(v, 4) if isinstance(v, float) else v for k, v in found.items()}


def abstaining(
    config: AdapterConfig, seen: Confidences, risk: float
) -> Iterator[tuple[str, float | None]]:
    """The share of answers given at a risk, and of wrong ones among them; None: it is not met."""
    try:
        given = seen.values >= risk_threshold(config, risk)
    except ConfigError:  # the held-out rows do not vouch for it
        given = np.zeros_like(seen.right)
    wrong = float((~seen.right[given]).mean()) if given.any() else None
    yield f"answered@{risk:g}", float(given.mean())
    yield f"wrong@{risk:g}", wrong


def chance(seen: Confidences) -> float:
    """The mean calibration error of answers that are right just as often as they are sure."""
    draw = np.random.default_rng(0)
    errors = [
        expected_calibration_error(
            Confidences(seen.values, draw.random(len(seen.values)) < seen.values)
        )
        for _ in range(DRAWS)
    ]
    return float(np.mean(errors))


def mean(rows: Sequence[Row]) -> Row:
    """Over the datasets, and what is left of the error before."""
    means = {name: round(statistics.mean(row[name] for row in rows), 4) for name in _SUMMED}
    left = round(means["ece_after"] / means["ece_before"], 3) if means["ece_before"] else None
    return {"dataset": f"mean of {len(rows)}", **means, "left": left}


def read(folder: Path, rows: int) -> Dataset:
    """The dataset with its test rows, or the development rows where it has none."""
    with capped(folder / "train.jsonl", rows) as file:
        dataset = read_dataset(file, ReadRequest()).dataset
    test = next(path for path in _judging(folder) if path.is_file())
    return replace(dataset, test=sample(read_rows(test, dataset), TEST_ROWS))


def trained(base: FrozenBase, dataset: Dataset, kept: Path | None) -> Adapter:
    """The adapter that is kept there, or a new one, which then is."""
    if kept is not None and kept.is_dir():
        return load(kept)
    result = fit(base, dataset)
    if kept is not None:
        save(kept, result)
    return result.adapter


def _judging(folder: Path) -> tuple[Path, Path]:
    return folder / "test.jsonl", folder / "dev.jsonl"


def main(arguments: list[str]) -> int:
    """Measure the datasets that are asked for."""
    parser = argparse.ArgumentParser(prog="benchmarks/calibration.py", description=__doc__)
    parser.add_argument("--data", type=Path, required=True, help="folder of the datasets' folders")
    parser.add_argument(
        "--only", nargs="+", metavar="NAME", default=DATASETS, help="these datasets"
    )
    parser.add_argument("--rows", type=int, default=ROWS, help="training rows of each at most")
    parser.add_argument("--risks", nargs="+", type=float, default=RISKS, help="acceptable risks")
    parser.add_argument("--adapters", type=Path, help="folder to keep them in, and to find them")
    parser.add_argument("--base", help="base model; the packaged one by default")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the rows here too")
    options = parser.parse_args(arguments)
    for name in options.only:
        if not any(path.is_file() for path in _judging(options.data / name)):
            parser.error(f"neither {name}/test.jsonl nor {name}/dev.jsonl in {options.data}")
    base = FrozenBase.load(options.base)
    classifier = Classifier(base)
    rows: list[Row] = []
    for name in options.only:
        dataset = read(options.data / name, options.rows)
        kept = options.adapters / f"{name}-{options.rows}" if options.adapters else None
        adapter = trained(base, dataset, kept)
        answered = Answered.of(classifier, adapter, dataset.test)
        rows.append(row_of(name, dataset, answered, options.risks))
        report(name, rows[-1:])
    report("Calibration on test rows", [*rows, mean(rows)], options.json)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
