"""Which column is what."""

from typing import Any

import pytest
from upload_files import errors_of, jsonl, read, refused

from skhost.uploads import ColumnChoice
from sktuning.config import Task


def rows_with(**columns: Any) -> str:
    """Eight rows; a callable gives a cell by its row's number."""
    return jsonl(
        [
            {n: value(i) if callable(value) else value for n, value in columns.items()}
            for i in range(8)
        ]
    )


def text(i: int) -> str:
    return f"text {i}"


def label(i: int) -> str:
    return "ab"[i % 2]


FOUND: list[tuple[tuple[str, ...], dict[str, str]]] = [
    (("text", "label"), {"text": "text", "target": "label"}),
    (("sentence", "category"), {"text": "sentence", "target": "category"}),
    (("Review Text", "Sentiment"), {"text": "Review Text", "target": "Sentiment"}),
    (("message", "intent"), {"text": "message", "target": "intent"}),
    (("content", "label", "text"), {"text": "text", "target": "label"}),
    (("text", "label", "topic"), {"text": "text", "target": "label"}),
    (("TEXT", "comment", "Label"), {"text": "TEXT", "target": "Label"}),
    (("text", "text_pair", "label"), {"text": "text", "text_pair": "text_pair", "target": "label"}),
    (("hypothesis", "premise", "label"),
     {"text": "premise", "text_pair": "hypothesis", "target": "label"}),
    (("question1", "question2", "is", "label"),
     {"text": "question1", "text_pair": "question2", "target": "label"}),
    (("sentence", "sentence2", "class"),
     {"text": "sentence", "text_pair": "sentence2", "target": "class"}),
]  # fmt: skip


@pytest.mark.parametrize(("names", "roles"), FOUND)
def test_usual_names_are_found(names: tuple[str, ...], roles: dict[str, str]) -> None:
    targets = {roles["target"]}
    cells = {name: label if name in targets else text for name in names}
    report = read(rows_with(**cells)).report
    assert report.columns == roles
    assert set(report.unused_columns) == set(names) - set(roles.values())


AMBIGUOUS: list[tuple[tuple[str, ...], str]] = [
    (("content", "review", "label"), '"content", "review" could each be the text'),
    (("text", "category", "topic"), '"category", "topic" could each be the label'),
    (("text", "label", "labels"), '"label", "labels" could each be the label'),
    (("text", "Label", "label"), '"Label", "label" could each be the label'),
    (("premise", "hypothesis", "question1", "question2", "label"), "could each be the texts"),
]


@pytest.mark.parametrize(("names", "message"), AMBIGUOUS)
def test_several_candidates_are_named_not_guessed(names: tuple[str, ...], message: str) -> None:
    error = refused(rows_with(**dict.fromkeys(names, text)))
    assert message in error.message
    assert "_column)" in error.message
    assert errors_of(error)[0]["code"] == "column_ambiguous"


def test_a_missing_text_column_is_named_with_those_found() -> None:
    error = refused(rows_with(headline=text, label=label))
    assert "no text column" in error.message
    assert 'found "headline", "label"' in error.message
    assert "text_column" in error.message


def test_columns_named_by_the_request() -> None:
    choice = ColumnChoice(text="Überschrift", label="verdict")
    content = rows_with(**{"Überschrift": text, "verdict": label, "text": "x", "label": "y"})
    report = read(content, columns=choice).report
    assert report.columns == {"text": "Überschrift", "target": "verdict"}
    assert report.unused_columns == ("text", "label")


def test_a_named_column_may_differ_in_case_and_blanks() -> None:
    choice = ColumnChoice(text="my text", label="LABEL")
    report = read(rows_with(My_Text=text, label=label), columns=choice).report
    assert report.columns == {"text": "My_Text", "target": "label"}


def test_a_named_column_that_is_not_there_gets_the_nearest_name() -> None:
    error = refused(rows_with(text=text, verdict=label), columns=ColumnChoice(label="verdikt"))
    assert 'there is no column "verdikt"' in error.message
    assert 'did you mean "verdict"?' in error.message


def test_ignored_columns_are_not_read() -> None:
    content = rows_with(text=text, category=label, topic="x", id="same")
    choice = ColumnChoice(ignore=("topic", "id"))
    report = read(content, columns=choice).report
    assert report.columns == {"text": "text", "target": "category"}


def test_a_second_text_alone_may_be_named() -> None:
    choice = ColumnChoice(text_pair="answer")
    report = read(rows_with(question=text, answer=text, label=label), columns=choice).report
    assert report.columns == {"text": "question", "text_pair": "answer", "target": "label"}


def test_a_bad_second_text_is_listed_with_its_column() -> None:
    content = rows_with(premise=text, hypothesis=lambda i: None if i == 2 else text(i), label=label)
    [problem] = errors_of(refused(content))
    assert (problem["line"], problem["column"]) == (3, "hypothesis")
    assert problem["code"] == "text_pair_null"


def test_words_and_tags_are_found() -> None:
    content = rows_with(
        tokens=lambda i: ["see", f"Rome {i}"], ner_tags=lambda i: ["O", "B-place"], text=text
    )
    report = read(content).report
    assert report.columns == {"tokens": "tokens", "target": "ner_tags"}
    assert report.task is Task.TOKENS


def test_a_text_and_a_label_win_over_words() -> None:
    content = rows_with(text=text, label=label, tokens=lambda i: ["a"])
    assert read(content).report.columns == {"text": "text", "target": "label"}


@pytest.mark.parametrize(
    ("task", "target"),
    [(Task.SINGLE_LABEL, "label"), (Task.MULTI_LABEL, "labels"), (Task.REGRESSION, "score")],
)
def test_the_task_decides_between_targets(task: Task, target: str) -> None:
    content = rows_with(text=text, label=label, labels=lambda i: [label(i)], score=lambda i: i / 2)
    assert read(content, task=task).report.columns == {"text": "text", "target": target}
