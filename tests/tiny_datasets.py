"""Rows that tiny bases learn at once: sentiment, asked as each of the tasks."""

from dataclasses import replace

from sktuning.config import Task
from sktuning.data import Dataset, Example, Target, TextInput


def sentiment(count: int = 48) -> Dataset:
    words = {"positive": ("good", "great"), "negative": ("bad", "awful")}
    labels = ("negative", "positive")
    rows = [
        Example(TextInput(f"the text {i % 7} is {'very ' * (i % 3)}{words[label][i % 2]}"), label)
        for i in range(count)
        for label in labels
    ]
    return Dataset(Task.SINGLE_LABEL, labels, tuple(rows), tuple(rows[: count // 2]))


def by_task(task: Task) -> Dataset:
    found = sentiment(12)

    def target(example: Example) -> Target:
        is_good = example.target == "positive"
        if task is Task.REGRESSION:
            return 4.0 if is_good else -2.0
        return ("good", "text") if is_good else ("text",)

    def tagged(example: Example) -> Example:
        words = tuple(example.input.text.split())
        tags = tuple("B-mood" if w in {"good", "great", "bad", "awful"} else "O" for w in words)
        return Example(TextInput(tokens=words), tags)

    def convert(example: Example) -> Example:
        return tagged(example) if task is Task.TOKENS else replace(example, target=target(example))

    if task is Task.SINGLE_LABEL:
        return found
    labels = {Task.MULTI_LABEL: ("good", "text"), Task.TOKENS: ("B-mood", "O")}.get(task, ())
    train, held_out = (tuple(map(convert, rows)) for rows in (found.train, found.held_out))
    return Dataset(task, labels, train, held_out)
