"""The rows of a run: what is learned from, what judges, and the test rows."""

import random
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from tasks import read_rows

from contest.run import Run
from skhost.uploads import ReadRequest, read_dataset
from sktuning.data import Dataset, Example


def read_subject(data: Path, run: Run) -> Dataset:
    """The dataset as the run uses it.

    The held-out rows are split off the whole training file as they are of an upload, so they are
    the same for every run on the dataset, however few rows it learns from.
    """
    folder = data / run.dataset
    whole = read_dataset(folder / "train.jsonl", ReadRequest()).dataset
    train = few(whole.train, run.shots, run.seed) if run.shots else whole.train
    return replace(
        whole,
        train=sample(train, run.rows),
        held_out=sample(whole.held_out, run.held_out),
        test=tuple(read_rows(folder / "test.jsonl", whole)),
    )


def sample(rows: Sequence[Example], count: int | None) -> tuple[Example, ...]:
    """So many rows, always the same, in their order."""
    if count is None or len(rows) <= count:
        return tuple(rows)
    return tuple(rows[i] for i in sorted(random.Random(0).sample(range(len(rows)), count)))


def few(rows: Sequence[Example], shots: int, seed: int) -> tuple[Example, ...]:
    """So many rows of each label, others with every seed."""
    by_label: dict[object, list[int]] = defaultdict(list)
    for i, row in enumerate(rows):
        by_label[row.target].append(i)
    draw = random.Random(seed)
    kept = [i for label in sorted(by_label, key=str) for i in _draw(draw, by_label[label], shots)]
    return tuple(rows[i] for i in sorted(kept))


def _draw(draw: random.Random, rows: Sequence[int], count: int) -> list[int]:
    return draw.sample(rows, min(count, len(rows)))
