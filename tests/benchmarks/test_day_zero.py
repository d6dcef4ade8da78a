"""The benchmark of adapters from label names, by its command, on data small enough for a test."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
ROWS = [("the text is good", "good")] * 3 + [("the text is bad", "bad")]


def test_names_are_measured_beside_the_commonest_label(
    tiny_bert_folder: Path, tmp_path: Path
) -> None:
    (tmp_path / "moods").mkdir()
    lines = [json.dumps({"text": text, "label": label}) for text, label in ROWS]
    (tmp_path / "moods" / "test.jsonl").write_text("\n".join(lines))
    figures = tmp_path / "figures.json"
    command = [sys.executable, str(ROOT / "benchmarks" / "day_zero.py"), "--data", str(tmp_path)]
    options = ["--only", "moods", "--base", str(tiny_bert_folder), "--json", str(figures)]
    subprocess.run([*command, *options], check=True, capture_output=True)
    (row,) = json.loads(figures.read_text())
    assert (row["dataset"], row["labels"], row["rows"]) == ("moods", 2, 4)
    assert row["majority"] == 0.75
    assert row["majority_f1"] == pytest.approx(0.75 * 2 / 1.75 / 2, abs=1e-4)
    assert row["names"] == 1.0
    assert row["described"] is None


def test_a_dataset_that_is_not_there_is_named(tmp_path: Path) -> None:
    command = [sys.executable, str(ROOT / "benchmarks" / "day_zero.py"), "--data", str(tmp_path)]
    done = subprocess.run([*command, "--only", "x"], capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert "no x/test.jsonl in" in done.stderr
