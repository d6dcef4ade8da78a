"""Labelled examples: plain values that know nothing of files or tokenizers."""

from dataclasses import dataclass
from typing import Any

from sktuning.config import Task
from sktuning.errors import DataError

Target = str | tuple[str, ...] | float


@dataclass(frozen=True, slots=True)
class TextInput:
    """One thing to classify: a text, a pair of texts, or a row of words."""

    text: str = ""
    text_pair: str | None = None
    tokens: tuple[str, ...] | None = None  # words, for token classification

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON values, without what is absent."""
        if self.tokens is not None:
            return {"tokens": list(self.tokens)}
        pair = {} if self.text_pair is None else {"text_pair": self.text_pair}
        return {"text": self.text, **pair}


@dataclass(frozen=True, slots=True)
class Example:
    """An input and what the answer should be.

    ``target`` by task: a label; a tuple of labels; a number; a tuple of tags, one a word.
    """

    input: TextInput
    target: Target


@dataclass(frozen=True, slots=True)
class Dataset:
    """Rows to learn from and rows held out to judge by.

    Raises:
        DataError: nothing to learn from, or targets that do not fit the task.
    """

    task: Task
    labels: tuple[str, ...]
    train: tuple[Example, ...]
    held_out: tuple[Example, ...]
    test: tuple[Example, ...] = ()

    def __post_init__(self) -> None:
        if not self.train:
            raise DataError("there are no rows to train on")
        if not self.held_out:
            raise DataError("there are no held-out rows to judge the adapter by")
        if self.task is not Task.REGRESSION and len(self.labels) < 2:
            raise DataError(f"at least two labels are needed, {len(self.labels)} found")

    @property
    def is_pair(self) -> bool:
        """Whether the rows are pairs of texts."""
        return self.train[0].input.text_pair is not None
