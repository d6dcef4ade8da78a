import pytest

from skhost.jobs.rows import RowSet
from sktuning.data import Example, TextInput


def _row(text: str, pair: str | None = None) -> Example:
    return Example(TextInput(text, pair), "a")


def test_a_set_knows_its_rows_and_no_others() -> None:
    rows = [_row(f"text {i}") for i in range(500)]
    seen = RowSet.of(rows)
    assert all(seen.may_hold(row) for row in rows)
    assert not any(seen.may_hold(_row(f"other {i}")) for i in range(500))
    again = RowSet.from_bytes(seen.to_bytes())
    assert (again.hashes == seen.hashes).all()
    assert len(seen.to_bytes()) == 8 * 500


def test_case_white_space_and_targets_make_no_other_row() -> None:
    seen = RowSet.of([_row("Great  stuff")])
    assert seen.may_hold(Example(TextInput(" great stuff "), "another target"))


def test_pairs_and_words_are_rows_of_their_own() -> None:
    seen = RowSet.of([_row("a", "b"), Example(TextInput(tokens=("x", "y")), ("O", "O"))])
    assert seen.may_hold(_row("a", "b"))
    assert not seen.may_hold(_row("b", "a"))
    assert not seen.may_hold(_row("a b"))
    assert seen.may_hold(Example(TextInput(tokens=("x", "y")), ("B-P", "O")))


def test_a_full_set_takes_what_it_cannot_know_for_seen() -> None:
    rows = [_row(f"text {i}") for i in range(200)]
    seen = RowSet.of(rows, limit=50)
    assert len(seen.hashes) == 50
    assert all(seen.may_hold(row, limit=50) for row in rows)
    others = [seen.may_hold(_row(f"other {i}"), limit=50) for i in range(400)]
    assert 0 < sum(others) < 400


def test_an_empty_set_holds_nothing() -> None:
    assert not RowSet.of([]).may_hold(_row("a"))
    assert not RowSet.from_bytes(b"").may_hold(_row("a"))


def test_a_damaged_file_is_an_error() -> None:
    with pytest.raises(ValueError, match="multiple"):
        RowSet.from_bytes(b"1234567")
