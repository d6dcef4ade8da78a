"""Labelled examples: plain values that know nothing of files or tokenizers."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Self, TypeAlias

from sktuning.config import Task
from sktuning.errors import DataError, InputError
from sktuning.split import draw

Target = str | tuple[str, ...] | float
HELD_OUT = 0.2  # of the rows, where nobody says


@dataclass(frozen=True, slots=True)
class TextInput:
    """One thing to classify: a text, a pair of texts, or a row of words."""

    text: str = ""
    text_pair: str | None = None
    tokens: tuple[str, ...] | None = None  # words, for token classification

    @property
    def num_chars(self) -> int:
        """Of all its parts."""
        return len(self.text) + len(self.text_pair or "") + sum(map(len, self.tokens or ()))

    @classmethod
    def of(cls, value: "AnyInput") -> "TextInput":
        """A string as a text, a tuple of two strings as a pair, a list of strings as words.

        Raises:
            InputError: it is something else.
        """
        if isinstance(value, TextInput):
            return value
        if isinstance(value, str):
            return cls(value)
        are_texts = isinstance(value, tuple | list) and all(isinstance(v, str) for v in value)
        if are_texts and isinstance(value, list):
            return cls(tokens=tuple(value))
        if are_texts and len(value) == 2:
            return cls(value[0], value[1])
        raise InputError(
            f"an input is a text, a tuple of two texts or a list of words, got {value!r:.100}"
        )

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON values, without what is absent."""
        if self.tokens is not None:
            return {"tokens": list(self.tokens)}
        pair = {} if self.text_pair is None else {"text_pair": self.text_pair}
        return {"text": self.text, **pair}


AnyInput: TypeAlias = str | tuple[str, str] | list[str] | TextInput


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

    @classmethod
    def of(
        cls,
        rows: "Iterable[tuple[AnyInput, Any]]",
        *,
        task: Task | str | None = None,
        held_out: float = HELD_OUT,
        test: float = 0.0,
        seed: int = 0,
    ) -> Self:
        """A dataset of rows as they come: what to classify, and what the answer should be.

        Args:
            rows: an input as `TextInput.of` takes it, and its target: a label; a list of labels; a
                number; for a list of words a list of tags.
            task: None: as the first target and input look. Numbers are regression then; say
                ``single-label`` where they are names of classes.
            held_out: share of the rows to judge by, some of every label.
            test: share of the rows to put aside first; training never sees them.
            seed: of the drawing.

        Raises:
            DataError: no rows, too few of them, or a target that does not fit the task.
            InputError: an input of a kind that is not known.
        """
        found = [(TextInput.of(value), target) for value, target in rows]
        if not found:
            raise DataError("there are no rows to train on")
        known = _look(*found[0]) if task is None else Task(task)
        examples = [Example(value, _target(target, known)) for value, target in found]
        tested, rest = _part(examples, test, seed)
        judged, learned = _part(rest, held_out, seed)
        labels = sorted({label for example in examples for label in _labels(example)})
        return cls(known, tuple(labels), tuple(learned), tuple(judged), tuple(tested))


def _look(value: TextInput, target: Any) -> Task:
    """The task that a row looks like."""
    if value.tokens is not None:
        return Task.TOKENS
    if isinstance(target, str):
        return Task.SINGLE_LABEL
    return Task.REGRESSION if _is_number(target) else Task.MULTI_LABEL


def _is_number(target: Any) -> bool:
    return isinstance(target, int | float) and not isinstance(target, bool)


def _target(target: Any, task: Task) -> Target:
    """A target as examples hold it.

    Raises:
        DataError: it does not fit the task.
    """
    is_list = isinstance(target, list | tuple | set | frozenset)
    if task is Task.REGRESSION and _is_number(target):
        return float(target)
    if task is Task.TOKENS and isinstance(target, list | tuple):
        return tuple(map(str, target))
    if task is Task.MULTI_LABEL and is_list:
        return tuple(sorted({str(label) for label in target}))
    if task is Task.SINGLE_LABEL and not is_list and target is not None:
        return str(target)
    raise DataError(f"the target {target!r:.100} does not fit {task}: say another task, or mend it")


def _labels(example: Example) -> tuple[str, ...]:
    target = example.target
    if isinstance(target, tuple):
        return target
    return (target,) if isinstance(target, str) else ()


def _part(
    examples: Sequence[Example], share: float, seed: int
) -> tuple[list[Example], list[Example]]:
    """The rows that are drawn, and the others.

    Raises:
        DataError: the share cannot be one.
    """
    if not 0 <= share < 1:
        raise DataError(f"a share of the rows is at least 0 and below 1, got {share}")
    if not share:
        return [], list(examples)
    drawn = draw([e.input for e in examples], [_labels(e) for e in examples], share, seed)
    numbered = list(enumerate(examples))
    return [e for i, e in numbered if i in drawn], [e for i, e in numbered if i not in drawn]
