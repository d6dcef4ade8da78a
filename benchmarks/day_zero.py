"""How well adapters do that were made from label names alone, before there is any data.

For each dataset (a folder with test.jsonl): make an adapter of its label names, and another of the
names and the descriptions below; classify the test rows with both, and score the answers beside the
commonest label's. The descriptions are ours: what the datasets' papers say their labels mean,
written after a look at two test rows of each. banking77's names are sentences already and get none.
"""

import argparse
import json
import sys
import time
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from label_texts import DESCRIBED
from report import report

from sktuning.base import FrozenBase
from sktuning.calibration import confidences, expected_calibration_error
from sktuning.classify import Classifier
from sktuning.data import TextInput
from sktuning.logits import logits_of
from sktuning.metrics import score
from sktuning.tokens import EncodedRow
from sktuning.zero_shot import Descriptions, ZeroShot

ROWS = 500
NAMES = ("sst2", "trec", "ag_news", "banking77", "sms_spam")


@dataclass(frozen=True, slots=True)
class Rows:
    """Some texts with their labels, and all labels that there are."""

    texts: tuple[str, ...]
    wanted: tuple[str, ...]
    labels: tuple[str, ...]


def read_rows(path: Path, limit: int) -> Rows:
    """Up to `limit` rows, spread evenly over the file: some are sorted by label."""
    rows = [json.loads(line) for line in path.open(encoding="utf-8")]
    labels = tuple(sorted({row["label"] for row in rows}))
    step = max(len(rows) / limit, 1.0)
    some = [rows[int(i * step)] for i in range(min(limit, len(rows)))]
    return Rows(tuple(r["text"] for r in some), tuple(r["label"] for r in some), labels)


def measure(classifier: Classifier, given: Rows, described: Descriptions) -> dict[str, float]:
    """An adapter made and asked; its figures."""
    began = time.monotonic()
    adapter = ZeroShot.make(classifier, given.labels, described).adapter
    made_s = time.monotonic() - began
    served = adapter.to(classifier.base.device, classifier.base.dtype)
    encoded = classifier.encoder.encode([TextInput(text) for text in given.texts], served.config)
    rows = [row for row in encoded if isinstance(row, EncodedRow)]
    if len(rows) < len(encoded):
        raise RuntimeError(f"{len(encoded) - len(rows)} of {len(encoded)} rows cannot be read")
    logits = logits_of(classifier, served, rows)
    metrics = score(served.config, logits, given.wanted)
    seen = confidences([served.config] * len(logits), logits, given.wanted)
    return {
        "accuracy": metrics["accuracy"],
        "macro_f1": metrics["macro_f1"],
        "ece": expected_calibration_error(seen),
        "made_s": made_s,
    }


def majority(given: Rows) -> dict[str, float]:
    """The figures of answering the commonest of these rows' labels always."""
    share = Counter(given.wanted).most_common(1)[0][1] / len(given.wanted)
    return {"accuracy": share, "macro_f1": 2 * share / (1 + share) / len(given.labels)}


def row_of(classifier: Classifier, folder: Path, limit: int) -> dict[str, Any]:
    """One dataset's row of the table."""
    given = read_rows(folder / "test.jsonl", limit)
    plain = majority(given)
    named = measure(classifier, given, {})
    described = DESCRIBED.get(folder.name)
    told = measure(classifier, given, described) if described else {}
    found = {
        "majority": plain["accuracy"],
        "names": named["accuracy"],
        "described": told.get("accuracy"),
        "majority_f1": plain["macro_f1"],
        "names_f1": named["macro_f1"],
        "described_f1": told.get("macro_f1"),
        "names_ece": named["ece"],
        "described_ece": told.get("ece"),
        "made_s": named["made_s"],
    }
    rounded = {k: None if v is None else round(float(v), 4) for k, v in found.items()}
    return {
        "dataset": folder.name,
        "labels": len(given.labels),
        "rows": len(given.texts),
        **rounded,
    }


def main(arguments: list[str]) -> int:
    """Measure the datasets that are asked for."""
    parser = argparse.ArgumentParser(prog="benchmarks/day_zero.py", description=__doc__)
    parser.add_argument("--data", type=Path, required=True, help="folder of the datasets' folders")
    parser.add_argument("--only", nargs="+", metavar="NAME", default=NAMES, help="these datasets")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the rows here too")
    parser.add_argument("--base", help="base model; the packaged one by default")
    parser.add_argument("--rows", type=int, default=ROWS, help="test rows of each dataset at most")
    options = parser.parse_args(arguments)
    for name in options.only:
        if not (options.data / name / "test.jsonl").is_file():
            parser.error(f"no {name}/test.jsonl in {options.data}")
    classifier = Classifier(FrozenBase.load(options.base))
    rows = [row_of(classifier, options.data / name, options.rows) for name in options.only]
    report("Adapters from label names, without any data", rows, options.json)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
