"""What is asked, as found in the targets or said by the request, and how targets are taken."""

from typing import Any

import pytest
from upload_files import errors_of, examples_of, jsonl, make_rows, read, refused

from sktuning.config import Task
from sktuning.data import Target


def with_targets(targets: list[Any], column: str = "label") -> str:
    return jsonl([{"text": f"text {i}", column: target} for i, target in enumerate(targets)])


def csv_with(targets: list[str], column: str = "label") -> str:
    return f"text,{column}\n" + "".join(f'text {i},"{t}"\n' for i, t in enumerate(targets))


def targets_of(content: str, **request: Any) -> dict[str, Target]:
    return {row.input.text: row.target for row in examples_of(read(content, **request))}


@pytest.mark.parametrize(
    ("targets", "column", "task"),
    [
        (["a", "b"] * 4, "label", Task.SINGLE_LABEL),
        ([1, 2, 3, 4, 5] * 3, "label", Task.SINGLE_LABEL),
        ([1, 2, 3, 4, 5] * 3, "score", Task.REGRESSION),
        ([True, False] * 4, "label", Task.SINGLE_LABEL),
        ([0.5, 1.5, 2.0, 4.0] * 3, "label", Task.REGRESSION),
        (list(range(30)), "label", Task.REGRESSION),
        ([f"{i % 77}" for i in range(300)], "label", Task.SINGLE_LABEL),
        ([i % 150 for i in range(600)], "label", Task.SINGLE_LABEL),
        ([["a"], ["b", "a"]] * 4, "label", Task.MULTI_LABEL),
        ([["a"], ["b", "a"]] * 4, "labels", Task.MULTI_LABEL),
        (["0.5", "1.5"] * 4, "label", Task.SINGLE_LABEL),  # texts in JSON stay texts
    ],
)
def test_the_task_is_found_in_the_targets(targets: list[Any], column: str, task: Task) -> None:
    report = read(with_targets(targets, column)).report
    assert report.task is task
    assert report.task_reason


@pytest.mark.parametrize(
    ("targets", "column", "task"),
    [
        (["a", "b"] * 4, "label", Task.SINGLE_LABEL),
        (["1", "2"] * 4, "label", Task.SINGLE_LABEL),
        (["0.5", "1.5"] * 4, "label", Task.REGRESSION),
        (["1", "2"] * 4, "score", Task.REGRESSION),
        (["a|b", "b"] * 4, "labels", Task.MULTI_LABEL),
        (["a|b", "b"] * 4, "label", Task.SINGLE_LABEL),
        (["a", "b"] * 4, "labels", Task.SINGLE_LABEL),
        (["1_0.5", "1_1.5"] * 4, "label", Task.SINGLE_LABEL),
    ],
)
def test_the_task_is_found_in_text_cells(targets: list[str], column: str, task: Task) -> None:
    assert read(csv_with(targets, column)).report.task is task


def test_the_request_decides_the_task() -> None:
    report = read(with_targets([0.5, 1.5] * 4), task=Task.SINGLE_LABEL).report
    assert report.task is Task.SINGLE_LABEL
    assert report.task_reason == "named by the request"
    assert [name for name, _ in report.labels] == ["0.5", "1.5"]


@pytest.mark.parametrize(
    ("cells", "expected"),
    [
        (["joy|love", "joy", "love|"], [("joy", "love"), ("joy",), ("love",)]),
        (["joy; love", "joy", "love"], [("joy", "love"), ("joy",), ("love",)]),
        (["joy,love", "joy", "love,joy,love"], [("joy", "love"), ("joy",), ("love", "joy")]),
        (['[""joy"", ""love""]', '[""joy""]', "[]"], [("joy", "love"), ("joy",), ()]),
        (["a,b|c", "a,b", "c"], [("a,b", "c"), ("a,b",), ("c",)]),
    ],
)
def test_cells_with_several_labels(cells: list[str], expected: list[Target]) -> None:
    content = csv_with(cells * 4, "labels")
    targets = targets_of(content)
    assert [targets[f"text {i}"] for i in range(3)] == expected
    problems = read(content).report.problems
    assert "label_lists" in {p.code for p in problems}


def test_pythons_own_lists_are_not_guessed_at() -> None:
    error = refused(csv_with(["['a', 'b']", "['b']"] * 3, "labels"))
    assert {p["code"] for p in errors_of(error) if "line" in p} == {"invalid_list"}
    assert "double quotes" in error.message


def test_numbers_and_truth_values_are_named_as_json_spells_them() -> None:
    assert set(targets_of(with_targets([1, 2] * 4)).values()) == {"1", "2"}
    assert set(targets_of(with_targets([True, False] * 4)).values()) == {"true", "false"}
    problems = read(with_targets([1, 2] * 4)).report.problems
    assert "label_numbers" in {p.code for p in problems}


def test_kinds_of_labels_are_not_merged() -> None:
    error = refused(with_targets([1, 2, 1, 2, 1, 2, "1", 1.0, True]))
    assert {p["line"]: p["code"] for p in errors_of(error)} == dict.fromkeys(
        (7, 8, 9), "label_kind"
    )


def test_labels_sort_by_value_when_they_are_numbers() -> None:
    labels = read(with_targets([f"{i}" for i in range(12)] * 2)).dataset.labels
    assert labels == tuple(str(i) for i in range(12))


@pytest.mark.parametrize(
    ("value", "code"),
    [("3,5", "score_type"), ("n/a", "score_type"), ("", "score_missing"), ("inf", "score_type")],
)
def test_what_is_no_number_is_listed(value: str, code: str) -> None:
    error = refused(csv_with([*(["0.5", "1.5"] * 6), value]))
    assert [(p["line"], p["code"]) for p in errors_of(error)] == [(14, code)]


@pytest.mark.parametrize("value", [True, None, [1.5], "2.5", float("nan"), float("inf")])
def test_what_is_no_number_in_json_is_listed(value: object) -> None:
    error = refused(with_targets([*([0.5, 1.5] * 6), value]), task=Task.REGRESSION)
    assert [p["line"] for p in errors_of(error)] == [13]


def test_a_regression_on_one_value_is_refused() -> None:
    assert errors_of(refused(with_targets([1.5] * 8)))[0]["code"] == "one_value"


def test_the_range_of_numbers_is_reported() -> None:
    report = read(with_targets([0.5, 1.5, 4.25] * 4)).report
    assert report.target_range == (0.5, 4.25)
    assert report.labels == ()


BAD_WORDS: list[tuple[object, object, str]] = [
    (["a", "b"], ["O"], "tags_count"),
    ([], [], "words_empty"),
    (["a", ""], ["O", "O"], "word_empty"),
    (["a", 5], ["O", "O"], "words_type"),
    (["a", None], ["O", "O"], "words_type"),
    ("a b", ["O", "O"], "words_type"),
    (["a", "b"], ["O", ""], "tag_blank"),
    (["a", "b"], [0, 1], "tags_type"),
    (["a", "b"], None, "tags_missing"),
    (["a\0", "b"], ["O", "O"], "nul_byte"),
]


@pytest.mark.parametrize(("tokens", "tags", "code"), BAD_WORDS)
def test_bad_words_and_tags_are_listed(tokens: object, tags: object, code: str) -> None:
    good = [{"tokens": ["in", f"Rome{i}"], "tags": ["O", "B-place"]} for i in range(6)]
    error = refused(jsonl([*good, {"tokens": tokens, "tags": tags}]))
    assert [(p["line"], p["code"]) for p in errors_of(error)] == [(7, code)]


@pytest.mark.parametrize("quote", [False, True])
def test_words_in_text_cells(quote: bool) -> None:
    words, tags = ("in Rome{}", "O B-place") if not quote else (
        '"[""in"", ""Rome{}""]"', '"[""O"", ""B-place""]"'
    )  # fmt: skip
    rows = "".join(f"{words.format(i)},{tags}\n" for i in range(8))
    result = read("tokens,tags\n" + rows)
    assert result.dataset.labels == ("O", "B-place")
    assert ("in", "Rome3") in {row.input.tokens for row in examples_of(result)}


def test_tags_that_are_not_bio_get_a_warning() -> None:
    rows = [{"tokens": ["go", f"home{i}"], "tags": ["VERB", "NOUN"]} for i in range(6)]
    assert "tags_not_bio" in {p.code for p in read(jsonl(rows)).report.problems}


def test_the_report_is_made_of_plain_values() -> None:
    report = read(jsonl(make_rows(12, ["__proto__", "good"]))).report.to_dict()
    assert report["labels"] == [
        {"label": "__proto__", "count": 6},
        {"label": "good", "count": 6},
    ]
    assert (report["task"], report["format"]) == ("single-label", "jsonl")
