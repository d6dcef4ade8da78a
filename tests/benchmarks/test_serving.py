"""The serving benchmark, by its command, on data small enough for a test."""

import json
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]


def test_every_rung_is_measured_and_the_page_written(
    tiny_bert_folder: Path, tmp_path: Path
) -> None:
    (tmp_path / "moods").mkdir()
    lines = [json.dumps({"text": "the text is good " * (1 + i % 5)}) for i in range(60)]
    (tmp_path / "moods" / "train.jsonl").write_text("\n".join(lines))
    figures, page = tmp_path / "figures.json", tmp_path / "page.md"
    command = [sys.executable, str(ROOT / "benchmarks" / "serving.py"), "--data", str(tmp_path)]
    small = ["--only", "moods", "--base", str(tiny_bert_folder), "--tokens", "64"]
    few = ["--counts", "1", "2", "64", "--repeats", "3", "--dtypes", "float32"]
    written = ["--json", str(figures), "--markdown", str(page)]
    subprocess.run([*command, *small, *few, *written], check=True, capture_output=True)
    rows = json.loads(figures.read_text())
    rungs = {row["rung"] for row in rows}
    assert rungs == {"ceiling", "torch's linear", "base", "engine", "profile"}
    engine = [(r["pattern"], r["adapters"]) for r in rows if r["rung"] == "engine"]
    assert engine == [
        ("one", 1),
        *[("uniform", 2), ("uniform", 64), ("zipf", 2), ("zipf", 64), ("distinct", 64)],
    ]
    for row in rows:
        if row["rung"] == "engine":
            assert 0 < row["tokens"] <= 64
            assert 0 <= row["padding"] < 1
            assert row["rows_per_s"] > 0
            assert 1 <= row["adapters_a_batch"] <= row["adapters"]
    (distinct,) = (row for row in rows if row.get("pattern") == "distinct")
    assert distinct["adapters_a_batch"] == distinct["rows"]
    assert abs(sum(row["share"] for row in rows if row["rung"] == "profile") - 1) < 1e-6
    assert "| engine | float32 | 64 | zipf |" in page.read_text()
    assert sorted(path.suffix for path in (tmp_path / "pictures").iterdir()) == [".svg", ".svg"]


def test_a_dataset_that_is_too_small_is_named(tiny_bert_folder: Path, tmp_path: Path) -> None:
    (tmp_path / "few").mkdir()
    (tmp_path / "few" / "train.jsonl").write_text(json.dumps({"text": "one"}))
    command = [sys.executable, str(ROOT / "benchmarks" / "serving.py"), "--data", str(tmp_path)]
    options = ["--only", "few", "--base", str(tiny_bert_folder), "--counts", "1"]
    done = subprocess.run([*command, *options], capture_output=True, text=True, check=False)
    assert done.returncode
    assert "few has not 5 batches of 1024 tokens" in done.stderr
