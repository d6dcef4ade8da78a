"""The sample datasets are what their README says."""

import csv
import json
import re
from collections import Counter
from itertools import combinations, pairwise
from pathlib import Path

EXAMPLES = Path(__file__).resolve().parents[2] / "examples"


def test_feedback_has_the_rows_and_labels_that_its_readme_counts() -> None:
    rows = _feedback()
    assert all(set(row) == {"text", "label"} for row in rows)
    counts = Counter(row["label"] for row in rows)
    readme = _table_row("feedback.jsonl")
    assert f"| {len(rows)} |" in readme
    for label, count in counts.items():
        assert f"{label} {count}" in readme


def test_feedback_is_balanced_and_of_mixed_lengths() -> None:
    rows = _feedback()
    assert min(Counter(row["label"] for row in rows).values()) >= 115
    lengths = sorted(len(row["text"].split()) for row in rows)
    assert lengths[0] >= 4
    assert lengths[-1] <= 60
    assert lengths[-len(lengths) // 10] >= 2 * lengths[len(lengths) // 10]


def test_feedback_is_shuffled() -> None:
    labels = [row["label"] for row in _feedback()]
    changes = sum(a != b for a, b in pairwise(labels))
    assert changes > len(labels) / 2


def test_no_two_rows_of_feedback_are_nearly_the_same() -> None:
    shingles = [(row["text"], _shingles(row["text"])) for row in _feedback()]
    near = [
        (a, b)
        for (a, of_a), (b, of_b) in combinations(shingles, 2)
        if len(of_a & of_b) > 0.5 * len(of_a | of_b)
    ]
    assert near == []


def test_intents_has_the_rows_and_labels_that_its_readme_counts() -> None:
    with (EXAMPLES / "intents.csv").open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    assert all(set(row) == {"text", "intent"} and all(row.values()) for row in rows)
    assert len({row["text"].lower() for row in rows}) == len(rows)
    counts = Counter(row["intent"] for row in rows)
    readme = _table_row("intents.csv")
    assert f"| {len(rows)} |" in readme
    assert f"{', '.join(sorted(counts))}: {min(counts.values())} each" in readme
    assert len(set(counts.values())) == 1


def test_pairs_has_the_rows_and_labels_that_its_readme_counts() -> None:
    with (EXAMPLES / "pairs.tsv").open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file, delimiter="\t"))
    assert all(set(row) == {"text", "text_pair", "label"} and all(row.values()) for row in rows)
    assert len({(row["text"], row["text_pair"]) for row in rows}) == len(rows)
    counts = Counter(row["label"] for row in rows)
    counted = ", ".join(f"{label} {count}" for label, count in sorted(counts.items()))
    assert f"| {len(rows)} | `text`, `text_pair`, `label` | {counted} |" in _table_row("pairs.tsv")


def _feedback() -> list[dict[str, str]]:
    lines = (EXAMPLES / "feedback.jsonl").read_text(encoding="utf-8").splitlines()
    return [json.loads(line) for line in lines]


def _table_row(file: str) -> str:
    readme = (EXAMPLES / "README.md").read_text(encoding="utf-8")
    return next(line for line in readme.splitlines() if line.startswith(f"| `{file}`"))


def _shingles(text: str) -> set[str]:
    letters = re.sub(r"\W+", " ", text.lower())
    return {letters[i : i + 3] for i in range(len(letters) - 2)}
