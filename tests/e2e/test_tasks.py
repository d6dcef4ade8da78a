"""The benchmark on datasets, by its command, on data and a base small enough for a test."""

import json
from pathlib import Path
from typing import Any

import pytest
from running_benchmark import rows_of, run_benchmark

WORDS = {"positive": ("good", "great"), "negative": ("bad", "awful")}


def texts(count: int) -> list[tuple[str, str]]:
    """Texts whose label one word tells."""
    return [
        (f"the text {i} is {'very ' * (i % 3)}{WORDS[label][i % 2]}", label)
        for i in range(count)
        for label in WORDS
    ]


def make_rows(kind: str, count: int) -> list[dict[str, Any]]:
    """Rows of each task in the format of the datasets."""
    moods = ("good", "great", "bad", "awful")
    rows: list[dict[str, Any]] = []
    for text, label in texts(count):
        words = text.split()
        by_kind: dict[str, dict[str, Any]] = {
            "single": {"text": text, "label": label},
            "pair": {"text": text, "text_pair": text[::-1], "label": label},
            "multi": {"text": text, "labels": [label, "long"] if "very" in words else [label]},
            "value": {"text": text, "label": 1.5 if label == "positive" else -2.25},
            "tokens": {
                "tokens": words,
                "tags": ["B-mood" if word in moods else "O" for word in words],
            },
        }
        rows.append(by_kind[kind])
    return rows


def write(folder: Path, kind: str) -> None:
    folder.mkdir(parents=True)
    for split, count in (("train", 40), ("test", 10)):
        lines = "".join(json.dumps(row) + "\n" for row in make_rows(kind, count))
        (folder / f"{split}.jsonl").write_text(lines)


@pytest.mark.timeout(300)
def test_datasets_go_through_http_and_come_out_as_a_table(
    tiny_bert_folder: Path, tmp_path: Path
) -> None:
    for kind in ("pair", "tokens"):
        write(tmp_path / "data" / kind, kind)
    options = ("--data", tmp_path / "data", "--base", tiny_bert_folder)
    pair, tokens = rows_of("tasks", tmp_path / "figures.json", *options)
    assert (pair["dataset"], pair["metric"]) == ("pair", "accuracy")
    assert (tokens["dataset"], tokens["metric"]) == ("tokens", "entity_f1")
    for row in (pair, tokens):
        assert row["value"] > 0.9
        assert row["value"] > row["majority"]
        assert row["artifact_bytes"] > 0
        assert row["trainable"] > 0
        assert row["test_rows"] == 20


def test_a_dataset_that_is_not_there_is_one_clear_line(tmp_path: Path) -> None:
    done = run_benchmark("tasks", "--data", tmp_path, "--only", "poems")
    assert done.returncode == 2
    assert "no test.jsonl" in done.stderr
    assert "Traceback" not in done.stderr
