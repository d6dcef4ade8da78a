"""The benchmark of few rows by its command, and its table, on data small enough for a test."""

import json
import subprocess
import sys
from pathlib import Path

import few_rows
import pytest
from few.methods import LOGISTIC, SETFIT, SETFIT_UNDERSAMPLED, SK_PREFIX
from few.run import Outcome, Run
from running_benchmark import run_benchmark

WORDS = {"positive": ("good", "great"), "negative": ("bad", "awful")}


@pytest.fixture
def data(tmp_path: Path) -> Path:
    folder = tmp_path / "data" / "moods"
    folder.mkdir(parents=True)
    for split, count in (("train", 20), ("test", 6)):
        rows = [
            {"text": f"the text {i} is {words[i % 2]}", "label": label}
            for i in range(count)
            for label, words in WORDS.items()
        ]
        (folder / f"{split}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    return folder.parent


def few(data: Path, base: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    small = ("--only", "moods", "--shots", "4", "--seeds", "2", "--base", base)
    places = ("--data", data, "--cache", data / "cache", "--json", data / "figures.json")
    return run_benchmark("few_rows", *small, *places, *arguments)


def test_runs_are_done_once_and_again_when_asked(data: Path, tiny_bert_folder: Path) -> None:
    done = few(data, tiny_bert_folder)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.count("moods 4/label sk-prefix #") == 2
    adapter, head, *means = json.loads((data / "figures.json").read_text())
    assert (adapter["method"], adapter["seeds"], adapter["train_rows"]) == ("SK-prefix", 2, 8)
    assert adapter["steps"] > 0
    assert (head["steps"], head["test_rows"]) == (0, 12)
    assert head["accuracy"] > 0.5
    assert [row["accuracy"] for row in means] == [adapter["accuracy"], head["accuracy"]]
    again = few(data, tiny_bert_folder, "--again", LOGISTIC)
    assert again.stdout.count("4/label logistic #") == 2
    assert "4/label sk-prefix #" not in again.stdout


def test_a_python_without_setfit_is_said_to_lack_it(data: Path, tiny_bert_folder: Path) -> None:
    done = few(data, tiny_bert_folder, "--methods", "setfit", "--setfit", sys.executable)
    assert done.returncode == 1
    assert "No module named" in done.stdout


def test_means_are_over_the_datasets_that_all_methods_have() -> None:
    outcomes = [
        outcome("sst2", SK_PREFIX, 0.5),
        outcome("sst2", SETFIT, 0.75),
        outcome("banking77", SK_PREFIX, 0.25),
        outcome("banking77", SETFIT_UNDERSAMPLED, 0.5),
        outcome("trec", SK_PREFIX, 1.0),
    ]
    means = [row for row in few_rows.table(outcomes) if row["dataset"] == "mean of 2"]
    assert {row["method"]: row["accuracy"] for row in means} == {
        "SK-prefix": 0.375,
        "SetFit": 0.625,
    }


def outcome(dataset: str, method: str, score: float) -> Outcome:
    return Outcome(Run("minilm", dataset, method, 16, 0), score, 1.0, 1, 32, 1000)
