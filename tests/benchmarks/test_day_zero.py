"""The benchmark of adapters from label names, by its command, on data small enough for a test."""

import json
from pathlib import Path

import pytest
from running_benchmark import rows_of, run_benchmark

ROWS = [("the text is good", "good")] * 3 + [("the text is bad", "bad")]


def test_names_are_measured_beside_the_commonest_label(
    tiny_bert_folder: Path, tmp_path: Path
) -> None:
    (tmp_path / "moods").mkdir()
    lines = [json.dumps({"text": text, "label": label}) for text, label in ROWS]
    (tmp_path / "moods" / "test.jsonl").write_text("\n".join(lines))
    options = ("--data", tmp_path, "--only", "moods", "--base", tiny_bert_folder)
    (row,) = rows_of("day_zero", tmp_path / "figures.json", *options)
    assert (row["dataset"], row["labels"], row["rows"]) == ("moods", 2, 4)
    assert row["majority"] == 0.75
    assert row["majority_f1"] == pytest.approx(0.75 * 2 / 1.75 / 2, abs=1e-4)
    assert row["names"] == 1.0
    assert row["described"] is None


def test_a_dataset_that_is_not_there_is_named(tmp_path: Path) -> None:
    done = run_benchmark("day_zero", "--data", tmp_path, "--only", "x")
    assert done.returncode == 2
    assert "no x/test.jsonl in" in done.stderr
