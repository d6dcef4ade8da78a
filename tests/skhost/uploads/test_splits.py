"""Which rows are held out."""

from collections import Counter
from collections.abc import Sequence
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from upload_files import errors_of, examples_of, jsonl, make_rows, read, refused

from skhost.errors import InvalidRequest, UploadRefused
from skhost.uploads import ReadRequest, ReadResult
from skhost.uploads.texts import normal_text
from sktuning.config import Task
from sktuning.data import Example


def splits_of(result: ReadResult) -> tuple[int, int, int]:
    dataset = result.dataset
    return len(dataset.train), len(dataset.held_out), len(dataset.test)


def codes_of(result: ReadResult) -> set[str]:
    return {p.code for p in result.report.problems}


def names_of(row: Example) -> tuple[str, ...]:
    assert not isinstance(row.target, float)
    return (row.target,) if isinstance(row.target, str) else row.target


TEXTS = st.sampled_from(["a", "A ", "a  b", "A B", "b", "c", "d", "E", "e\t", "f", "g", "h", "i"])
ROWS = st.lists(st.tuples(TEXTS, st.sampled_from("wxyz")), min_size=2, max_size=60)
MULTI_ROWS = st.lists(
    st.tuples(TEXTS, st.lists(st.sampled_from("wxyz"), max_size=3)), min_size=2, max_size=60
)


def read_or_code(content: str, **request: Any) -> ReadResult | str:
    """What was read, or the code of the first reason why not."""
    try:
        return read(content, **request)
    except UploadRefused as error:
        return str(errors_of(error)[0]["code"])


def check_split(rows: list[dict[str, Any]], request: dict[str, Any]) -> None:
    """The laws of a drawn split, for any rows that can be split at all."""
    result = read_or_code(jsonl(rows), **request)
    if isinstance(result, str):
        assert result in {"one_label", "too_few_rows"}
        return
    train, held_out = result.dataset.train, result.dataset.held_out
    written = Counter((row["text"], str(row.get("label"))) for row in rows)
    assert sum(written.values()) == len(train) + len(held_out)  # none lost, none twice
    sides = [{normal_text(row.input.text) for row in side} for side in (train, held_out)]
    assert not sides[0] & sides[1]
    learned = {name for row in train for name in names_of(row)}
    assert learned == set(result.dataset.labels)
    again = read(jsonl(rows), **request)
    assert again.dataset == result.dataset


@settings(max_examples=60, deadline=None)
@given(ROWS, st.sampled_from([0, 7]), st.sampled_from([None, 0.3, 0.5]))
def test_drawn_rows_keep_every_label_and_repeats_on_one_side(
    rows: list[tuple[str, str]], seed: int, fraction: float | None
) -> None:
    written = [{"text": text, "label": label} for text, label in rows]
    check_split(written, {"seed": seed, "held_out_fraction": fraction})


@settings(max_examples=40, deadline=None)
@given(MULTI_ROWS)
def test_the_same_holds_for_several_labels(rows: list[tuple[str, list[str]]]) -> None:
    written = [{"text": text, "labels": labels} for text, labels in rows]
    check_split(written, {"task": Task.MULTI_LABEL})


def test_a_tenth_of_each_label_is_held_out() -> None:
    rows = make_rows(300, ["good"] * 9 + ["bad"])
    held_out = read(jsonl(rows)).dataset.held_out
    assert Counter(row.target for row in held_out) == {"good": 27, "bad": 3}


def test_the_fraction_is_the_requests() -> None:
    assert splits_of(read(jsonl(make_rows(100)), held_out_fraction=0.3)) == (70, 30, 0)
    with pytest.raises(InvalidRequest, match="held_out_fraction"):
        ReadRequest(held_out_fraction=0.9)


def test_another_seed_draws_other_rows() -> None:
    content = jsonl(make_rows(100))
    assert read(content, seed=1).dataset.held_out != read(content, seed=2).dataset.held_out


def test_large_files_hold_out_about_two_thousand_rows() -> None:
    assert splits_of(read(jsonl(make_rows(30_000)))) == (28_000, 2_000, 0)


def test_a_label_with_one_row_stays_to_be_learned() -> None:
    rows = [*make_rows(40), {"text": "alone", "label": "rare"}]
    result = read(jsonl(rows))
    assert "rare" in {row.target for row in result.dataset.train}
    assert "label_with_one_row" in codes_of(result)


def test_numbers_are_held_out_over_their_whole_range() -> None:
    rows = [{"text": f"text {i}", "label": i + 0.5} for i in range(200)]
    held_out = [row.target for row in read(jsonl(rows)).dataset.held_out]
    tenths = Counter(int(float(str(target)) // 20) for target in held_out)
    assert set(tenths) == set(range(10))


def test_rows_with_rare_tags_are_held_out_too() -> None:
    rows = [
        {"tokens": ["in", f"x{i}"], "tags": ["O", "B-rare" if i % 10 == 0 else "O"]}
        for i in range(100)
    ]
    dataset = read(jsonl(rows)).dataset
    assert sum("B-rare" in names_of(row) for row in dataset.held_out) >= 1


def test_a_few_numbers_can_be_split() -> None:
    rows = [{"text": f"t{i}", "label": i / 4} for i in range(8)]
    assert splits_of(read(jsonl(rows))) == (6, 2, 0)


def test_rows_of_many_rare_label_sets_can_be_split() -> None:
    rows = [{"text": f"t{i}", "labels": ["all", f"own{i}"]} for i in range(4)]
    rows += [{"text": f"u{i}", "labels": [f"own{i}", f"own{(i + 1) % 4}"]} for i in range(4)]
    dataset = read(jsonl(rows)).dataset
    assert dataset.held_out
    assert {name for row in dataset.train for name in names_of(row)} == set(dataset.labels)


def test_too_few_rows_are_refused() -> None:
    rows = [{"text": "one", "label": "a"}, {"text": "two", "label": "b"}]
    assert errors_of(refused(jsonl(rows)))[0]["code"] == "too_few_rows"


def with_split(rows: list[dict[str, Any]], values: Sequence[object]) -> str:
    return jsonl([{**row, "split": values[i % len(values)]} for i, row in enumerate(rows)])


@pytest.mark.parametrize("name", ["dev", "validation", "VALID", "val ", "eval"])
def test_the_files_own_split_is_kept(name: str) -> None:
    result = read(with_split(make_rows(40, "aabb"), ["train", "train", "train", name, "test"]))
    assert splits_of(result) == (24, 8, 8)
    assert '"split"' in result.report.held_out_from


def test_without_held_out_rows_in_the_split_some_are_drawn() -> None:
    result = read(with_split(make_rows(60), ["train", "train", "train", "test"]))
    train, held_out, test = splits_of(result)
    assert (train + held_out, test) == (45, 15)
    assert held_out >= 4


def test_a_split_of_an_unknown_name_is_listed() -> None:
    error = refused(with_split(make_rows(12), ["train", "dev", "train", "fold 3", None]))
    assert [p["line"] for p in errors_of(error)] == [4, 5, 9, 10]
    assert '"fold 3"' in error.message


def test_held_out_texts_that_are_learned_from_get_a_warning() -> None:
    rows = [*make_rows(10), {"text": "TEXT  3", "label": "bad"}, {"text": "x", "label": "new"}]
    result = read(with_split(rows, ["train"] * 10 + ["dev"] * 2))
    assert {"held_out_overlap", "label_only_held_out"} <= codes_of(result)
    assert "new" in result.dataset.labels


def test_a_second_file_is_held_out_whole() -> None:
    result = read(jsonl(make_rows(20)), held_out="text,label\nnew one,good\nnew two,bad\n")
    assert splits_of(result) == (20, 2, 0)
    assert "held_out.bin" in result.report.held_out_from


def test_problems_of_the_second_file_carry_its_name() -> None:
    error = refused(jsonl(make_rows(20)), held_out="text,label\nnew one,good\n,bad\n")
    [problem] = errors_of(error)
    assert (problem["file"], problem["line"]) == ("held_out.bin", 3)
    assert error.message.startswith("held_out.bin")


def test_a_second_file_without_usable_rows_is_refused() -> None:
    error = refused(jsonl(make_rows(20)), held_out="text,label\n,bad\n", on_bad_rows="skip")
    assert "no row is left to judge by" in error.message


def test_a_second_file_of_another_kind_is_refused() -> None:
    pairs = "premise,hypothesis,label\na,b,good\n"
    assert "pairs of texts" in refused(jsonl(make_rows(20)), held_out=pairs).message


def test_a_second_file_beside_a_split_column_is_refused() -> None:
    error = refused(
        with_split(make_rows(20), ["train", "train", "dev"]), held_out="text,label\na,b\n"
    )
    assert "send one of them" in error.message


def test_skipped_rows_are_in_no_part() -> None:
    result = read(jsonl([*make_rows(20), {"text": "", "label": "bad"}]), on_bad_rows="skip")
    assert len(examples_of(result)) == result.report.num_used == 20
