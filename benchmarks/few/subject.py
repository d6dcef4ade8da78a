"""The rows of a run: a few of each label to learn from, and the test rows."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from contest.subject import few, sample
from tasks import read_rows

from few.run import Run
from skhost.uploads import ReadRequest, read_dataset
from sktuning.data import Example


@dataclass(frozen=True, slots=True)
class Subject:
    """What a method learns from, and what it is to answer."""

    labels: Sequence[str]
    train: Sequence[Example]
    test: Sequence[Example]


def read_subject(data: Path, run: Run) -> Subject:
    """The dataset as the run uses it; the rows are those of the method benchmark."""
    folder = data / run.dataset
    whole = read_dataset(folder / "train.jsonl", ReadRequest()).dataset
    return Subject(
        whole.labels,
        few(whole.train, run.shots, run.seed),
        sample(read_rows(folder / "test.jsonl", whole), run.test_rows),
    )
