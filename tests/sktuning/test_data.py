"""Rows as they come, made into examples."""

from typing import Any

import pytest

from sktuning.config import Task
from sktuning.data import Dataset, TextInput
from sktuning.errors import DataError, InputError

ROWS: dict[Task, list[tuple[Any, Any]]] = {
    Task.SINGLE_LABEL: [(f"text {i}", "good" if i % 2 else "bad") for i in range(10)],
    Task.MULTI_LABEL: [(f"text {i}", ["b", "a"][: i % 3]) for i in range(1, 11)],
    Task.REGRESSION: [(f"text {i}", i / 2 if i % 2 else i) for i in range(10)],
    Task.TOKENS: [(["a", str(i)], ["O", "B-number"]) for i in range(10)],
}
LABELS = {
    Task.SINGLE_LABEL: ("bad", "good"),
    Task.MULTI_LABEL: ("a", "b"),
    Task.REGRESSION: (),
    Task.TOKENS: ("B-number", "O"),
}


def test_an_input_is_a_text_a_pair_or_words() -> None:
    assert TextInput.of("a b") == TextInput("a b")
    assert TextInput.of(("a", "b")) == TextInput("a", "b")
    assert TextInput.of(["a", "b"]) == TextInput(tokens=("a", "b"))
    assert TextInput.of(TextInput("a")) == TextInput("a")


@pytest.mark.parametrize("value", [None, 3, ("a",), ("a", "b", "c"), ["a", 3], {"text": "a"}])
def test_any_other_input_is_refused(value: Any) -> None:
    with pytest.raises(InputError, match="an input is a text, a tuple of two texts or a list of"):
        TextInput.of(value)


@pytest.mark.parametrize("task", list(Task))
def test_the_task_is_what_the_rows_look_like(task: Task) -> None:
    dataset = Dataset.of(ROWS[task])
    assert (dataset.task, dataset.labels) == (task, LABELS[task])
    held_out = 3 if task is Task.MULTI_LABEL else 2  # one row of each of its three sets of labels
    assert (len(dataset.train), len(dataset.held_out)) == (10 - held_out, held_out)
    assert dataset.test == ()


def test_labels_of_a_row_are_sorted_and_numbers_are_floats() -> None:
    two = Dataset.of([("x", ["b", "a", "b"]), ("y", {"a"})])
    assert {example.target for example in (*two.train, *two.held_out)} == {("a", "b"), ("a",)}
    numbers = Dataset.of([("x", 1), ("y", 2)])
    assert all(type(example.target) is float for example in (*numbers.train, *numbers.held_out))


def test_numbers_are_names_of_classes_where_that_is_said() -> None:
    dataset = Dataset.of([(str(i), i % 2) for i in range(8)], task="single-label")
    assert dataset.labels == ("0", "1")


def test_test_rows_are_put_aside_before_the_others_are_drawn() -> None:
    dataset = Dataset.of(((str(i), "ab"[i % 2]) for i in range(100)), test=0.2, held_out=0.1)
    assert [len(part) for part in (dataset.train, dataset.held_out, dataset.test)] == [72, 8, 20]
    assert len({e.input for e in (*dataset.train, *dataset.held_out, *dataset.test)}) == 100


@pytest.mark.parametrize(
    ("rows", "task"),
    [
        ([("x", "good"), ("y", 3), ("z", None)], None),
        ([("x", "good"), ("y", ["bad"])], None),
        ([("x", 3), ("y", "bad")], None),
        ([("x", ["a"]), ("y", "b")], None),
        ([(["x"], "O")], None),
        ([("x", "good")], Task.REGRESSION),
    ],
)
def test_a_target_that_does_not_fit_is_refused(rows: Any, task: Task | None) -> None:
    with pytest.raises(DataError, match="does not fit"):
        Dataset.of(rows, task=task)


@pytest.mark.parametrize("options", [{"held_out": 1.0}, {"test": -0.1}])
def test_a_share_that_cannot_be_is_refused(options: dict[str, Any]) -> None:
    with pytest.raises(DataError, match="a share of the rows"):
        Dataset.of(ROWS[Task.SINGLE_LABEL], **options)


@pytest.mark.parametrize("rows", [[], [("x", "good")]])
def test_too_few_rows_are_refused(rows: Any) -> None:
    with pytest.raises(DataError, match="there are no"):
        Dataset.of(rows)
