"""The public datasets load as what they are."""

from pathlib import Path

import pytest

from skhost.uploads import ReadRequest, read_dataset
from sktuning.config import Task

SINGLE, MULTI = Task.SINGLE_LABEL, Task.MULTI_LABEL
DATASETS = {
    "sst2": (SINGLE, 6920, 2),
    "trec": (SINGLE, 5452, 6),
    "ag_news": (SINGLE, 12000, 4),
    "banking77": (SINGLE, 10003, 77),
    "mrpc": (SINGLE, 3668, 2),
    "cola": (SINGLE, 8551, 2),
    "sms_spam": (SINGLE, 4458, 2),
    "wnut17": (Task.TOKENS, 3394, 13),
    "goemotions": (MULTI, 43410, 28),
    "stsb": (Task.REGRESSION, 5749, 0),
    "germeval2018": (SINGLE, 5009, 2),
}


@pytest.mark.parametrize("name", DATASETS)
def test_a_dataset_loads_whole_and_its_task_is_found(name: str, shared_data: Path) -> None:
    task, num_rows, num_labels = DATASETS[name]
    result = read_dataset(shared_data / name / "train.jsonl", ReadRequest())
    assert result.dataset.task is task
    assert result.report.num_rows == result.report.num_used == num_rows
    assert len(result.dataset.labels) == num_labels
    assert result.dataset.is_pair == (name in {"mrpc", "stsb"})
    held_out = len(result.dataset.held_out)
    assert min(0.1 * num_rows, 1990) * 0.9 < held_out < min(0.1 * num_rows, 2010) * 1.1


def test_every_label_of_77_is_judged_by_at_least_three_rows(shared_data: Path) -> None:
    dataset = read_dataset(shared_data / "banking77" / "train.jsonl", ReadRequest()).dataset
    judged = [row.target for row in dataset.held_out]
    assert all(judged.count(label) >= 3 for label in dataset.labels)


def test_the_dev_file_is_held_out_when_sent_along(shared_data: Path) -> None:
    folder = shared_data / "wnut17"
    path = folder / "train.jsonl"
    report = read_dataset(path, ReadRequest(), held_out=folder / "dev.jsonl").report
    assert report.splits == {"train": 3394, "held_out": 1009, "test": 0}
    assert "dev.jsonl" in report.held_out_from
