"""The method benchmark by its command: a run in a child process, and the table from the cache."""

import json
import subprocess
from pathlib import Path

import pytest
from running_benchmark import run_benchmark

WORDS = {"positive": ("good", "great"), "negative": ("bad", "awful")}


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """A dataset by the name of the one that the rates are searched on."""
    folder = tmp_path / "data" / "trec"
    folder.mkdir(parents=True)
    for split, count in (("train", 30), ("test", 8)):
        rows = [
            {"text": f"the text {i} is {'very ' * (i % 3)}{words[i % 2]}", "label": label}
            for i in range(count)
            for label, words in WORDS.items()
        ]
        lines = "".join(json.dumps(row) + "\n" for row in rows)
        (folder / f"{split}.jsonl").write_text(lines)
    return folder.parent


def method(data: Path, base: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    options = ("--data", data, "--cache", data / "cache", "--bases", base, "--untuned")
    small = ("--rows", "40", "--epochs", "1", "--seeds", "1")
    one = ("--methods", "prefix-tuning", "--only", "trec")
    return run_benchmark("method", *options, *small, *one, *arguments)


def test_a_run_is_done_once_and_reported_from_the_cache(data: Path, tiny_bert_folder: Path) -> None:
    done = method(data, tiny_bert_folder)
    assert (done.returncode, done.stderr) == (0, "")
    assert "#0: " in done.stdout
    figures = data / "figures.json"
    again = method(data, tiny_bert_folder, "--json", str(figures))
    assert "#0: " not in again.stdout
    (row,) = json.loads(figures.read_text())
    assert (row["method"], row["rows"], row["steps"]) == ("PREFIX_TUNING", 40, 2)
    assert row["peak_mb"] > 0
    assert row["rows_per_s"] > 0
    plan = method(data, tiny_bert_folder, "--plan")
    assert "1 of 1 runs are cached" in plan.stdout
    assert "0 of 1" in method(data, tiny_bert_folder, "--plan", "--epochs", "2").stdout


def test_a_report_of_nothing_says_so(data: Path, tiny_bert_folder: Path) -> None:
    done = method(data, tiny_bert_folder, "--report")
    assert done.returncode == 0
    assert "no run" in done.stdout


def test_a_dataset_that_is_not_there_is_one_clear_line(data: Path, tiny_bert_folder: Path) -> None:
    done = method(data, tiny_bert_folder, "--only", "sst2", "poems")
    assert done.returncode == 2
    assert "for poems, sst2" in done.stderr
