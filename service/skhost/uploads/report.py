"""What was read from an upload, for people and programs."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

from skhost.uploads.problems import Problem
from sktuning.config import Task
from sktuning.data import Dataset


@dataclass(frozen=True, slots=True)
class ReadReport:
    """How a file was read and what came of it. All values but label names are safe to show."""

    file: str
    format: str
    compression: str | None
    encoding: str | None
    delimiter: str | None
    quoting: str | None
    columns: dict[str, str]  # role to column name
    unused_columns: tuple[str, ...]
    task: Task
    task_reason: str
    num_rows: int  # rows found, usable or not
    num_used: int
    num_skipped: int  # bad rows left out because the request said so
    labels: tuple[tuple[str, int], ...]  # with rows each; tags with words each
    target_range: tuple[float, float] | None  # regression: smallest and largest
    splits: dict[str, int]  # rows in train, held_out and test
    held_out_from: str
    problems: tuple[Problem, ...]  # warnings, and the rows that were left out

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON values; labels are a list, as a name may be anything."""
        values = asdict(self)
        values["problems"] = [problem.to_dict() for problem in self.problems]
        values["labels"] = [{"label": name, "count": count} for name, count in self.labels]
        values["task"] = str(self.task)
        return values


@dataclass(frozen=True, slots=True)
class ReadResult:
    """A dataset and how it was made."""

    dataset: Dataset
    report: ReadReport


def sorted_labels(names: Sequence[str]) -> tuple[str, ...]:
    """Labels in an order that does not depend on the rows': O first, numbers by value."""
    return tuple(sorted(set(names), key=_order))


def _order(name: str) -> tuple[bool, bool, int, str]:
    is_number = name.isascii() and name.isdigit() and len(name) < 10
    return name != "O", not is_number, int(name) if is_number else 0, name
