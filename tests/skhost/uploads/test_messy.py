"""Every malformed file of the shared data gets the answer that its README describes."""

import json
from pathlib import Path
from typing import Any

import pytest

from skhost.errors import UploadRefused
from skhost.uploads import ColumnChoice, ReadRequest, ReadResult, read_dataset
from sktuning.data import Example


@pytest.fixture(scope="session")
def messy(shared_data: Path) -> Path:
    return shared_data / "messy"


def skip_bad_rows(path: Path) -> ReadResult:
    return read_dataset(path, ReadRequest(on_bad_rows="skip"))


def refusal_of(path: Path, **request: Any) -> UploadRefused:
    with pytest.raises(UploadRefused) as caught:
        read_dataset(path, ReadRequest(**request))
    assert path.name in caught.value.message
    assert caught.value.status == 422
    json.dumps(caught.value.details)  # must be plain values
    return caught.value


def problems_of(error: UploadRefused, severity: str = "error") -> list[dict[str, Any]]:
    assert error.details is not None
    return [p for p in error.details["problems"] if p["severity"] == severity]


def codes_by_line(error: UploadRefused) -> dict[int, str]:
    return {p["line"]: p["code"] for p in problems_of(error)}


def warnings_of(result: ReadResult) -> dict[str, str]:
    return {p.code: p.message for p in result.report.problems}


def all_rows(result: ReadResult) -> list[Example]:
    return [*result.dataset.train, *result.dataset.held_out]


def texts_of(result: ReadResult) -> set[str]:
    return {row.input.text for row in all_rows(result)}


def test_windows_1252_is_refused_with_the_byte_the_line_and_how_to_save_it(messy: Path) -> None:
    error = refusal_of(messy / "01_cp1252_encoding.csv")
    [problem] = problems_of(error)
    assert problem["line"] == 7
    assert "0xDC at offset 318" in problem["message"]
    assert "not UTF-8" in problem["message"]
    assert "save it as UTF-8" in problem["message"]
    assert "Überweisung über 25 €" in problem["message"]
    assert "line 7" in error.message


def test_a_byte_order_mark_and_crlf_are_no_part_of_names_or_labels(messy: Path) -> None:
    result = read_dataset(messy / "02_bom_crlf.csv", ReadRequest())
    report = result.report
    assert (report.num_rows, report.num_used) == (45, 45)
    assert report.columns == {"text": "text", "target": "label"}
    labels = ["card_arrival", "exchange_rate", "lost_or_stolen_card"]
    assert report.labels == tuple((name, 15) for name in labels)
    assert result.dataset.labels == tuple(labels)
    assert report.problems == ()


def test_a_missing_label_column_is_named_with_the_three_found(messy: Path) -> None:
    error = refusal_of(messy / "03_missing_label_column.csv")
    [problem] = problems_of(error)
    assert problem["code"] == "column_missing"
    assert "label" in problem["message"]
    assert '"id", "text", "comment"' in problem["message"]
    assert error.details is not None
    assert error.details["columns"] == ["id", "text", "comment"]


def test_the_user_may_choose_the_label_column_and_its_empty_cells_are_listed(messy: Path) -> None:
    choice = ColumnChoice(label="comment")
    error = refusal_of(messy / "03_missing_label_column.csv", columns=choice)
    assert set(codes_by_line(error).values()) == {"label_empty"}
    assert len(problems_of(error)) == 14
    assert codes_by_line(error)[2] == "label_empty"


def test_one_label_only_is_refused(messy: Path) -> None:
    [problem] = problems_of(refusal_of(messy / "04_one_class_only.jsonl"))
    assert problem["code"] == "one_label"
    assert "at least two labels" in problem["message"]
    assert "card_arrival" in problem["message"]


EMPTY_TEXTS = {
    4: "text_empty",
    9: "text_empty",
    15: "text_empty",
    21: "text_null",
    29: "text_missing",
    35: "text_empty",
    43: "text_empty",
    49: "text_type",
}


def test_empty_texts_are_listed_by_line_with_the_reason(messy: Path) -> None:
    error = refusal_of(messy / "05_empty_texts.jsonl")
    assert codes_by_line(error) == EMPTY_TEXTS
    assert error.details is not None
    assert error.details["num_rows"] == 50


def test_empty_texts_are_left_out_when_asked(messy: Path) -> None:
    result = skip_bad_rows(messy / "05_empty_texts.jsonl")
    assert (result.report.num_used, result.report.num_skipped) == (42, 8)
    assert len(all_rows(result)) == 42
    assert not {"None", "nan", "123", ""} & texts_of(result)
    skipped = {p.line: p.code for p in result.report.problems if p.line is not None}
    assert skipped == EMPTY_TEXTS
    assert "2 blank lines" in warnings_of(result)["blank_lines"]


def test_an_id_that_stands_for_two_rows_is_refused_with_both_lines(messy: Path) -> None:
    error = refusal_of(messy / "06_duplicate_ids.jsonl")
    assert codes_by_line(error) == {43: "id_conflict", 44: "id_conflict"}
    messages = {p["line"]: p["message"] for p in problems_of(error)}
    assert "line 11" in messages[43]
    assert "line 21" in messages[44]
    warnings = {p["code"]: p["message"] for p in problems_of(error, "warning")}
    assert "line 41 (as 5), line 42 (as 5)" in warnings["exact_copy"]
    assert "line 44 (as 21), line 46 (as 9)" in warnings["contradictory_targets"]
    assert "line 45 (as 8)" in warnings["repeated_text"]


def test_of_repeated_rows_copies_are_kept_once_and_conflicts_not_at_all(messy: Path) -> None:
    result = skip_bad_rows(messy / "06_duplicate_ids.jsonl")
    texts = [row.input.text for row in all_rows(result)]
    assert texts.count("I lost my wallet and all my cards were in it.") == 1
    assert {"Is 5 the same id as t005?", "Is T005 the same id as t005?"} <= set(texts)
    assert len(texts) == 48 - 2 - 4  # two copies, two pairs in conflict
    repeated = "I'm panicking!  I lost my card!  Help!"
    sides = [[row.input.text for row in side].count(repeated)
             for side in (result.dataset.train, result.dataset.held_out)]  # fmt: skip
    assert sorted(sides) == [0, 2]


def test_the_ids_can_be_ignored(messy: Path) -> None:
    request = ReadRequest(columns=ColumnChoice(ignore=("id",)))
    report = read_dataset(messy / "06_duplicate_ids.jsonl", request).report
    assert report.num_used == 48
    assert report.unused_columns == ("id",)


def test_a_line_of_a_megabyte_is_refused_by_a_stated_limit_and_not_echoed(messy: Path) -> None:
    error = refusal_of(messy / "07_one_megabyte_line.jsonl")
    assert codes_by_line(error) == {12: "text_too_long"}
    assert "at most 100,000" in error.message
    assert len(json.dumps([error.message, error.details])) < 2000


def test_the_other_rows_of_the_megabyte_file_load(messy: Path) -> None:
    result = skip_bad_rows(messy / "07_one_megabyte_line.jsonl")
    assert (result.report.num_rows, result.report.num_used) == (24, 23)
    assert len(json.dumps(result.report.to_dict())) < 4000


def test_the_lines_with_nul_bytes_are_named(messy: Path) -> None:
    error = refusal_of(messy / "08_nul_bytes.csv")
    assert codes_by_line(error) == dict.fromkeys((8, 15, 22), "nul_byte")
    assert {p["line"]: p["column"] for p in problems_of(error)} == {
        8: "text",
        15: "label",
        22: "text",
    }


def test_without_the_nul_rows_there_are_three_labels(messy: Path) -> None:
    result = skip_bad_rows(messy / "08_nul_bytes.csv")
    assert result.dataset.labels == ("card_arrival", "exchange_rate", "lost_or_stolen_card")
    assert result.report.num_used == 27
    assert not any("\0" in text for text in texts_of(result))


def test_a_json_array_named_jsonl_is_read_as_an_array(messy: Path) -> None:
    report = read_dataset(messy / "09_json_array.jsonl", ReadRequest()).report
    assert (report.format, report.num_used) == ("json", 30)
    assert report.problems == ()


LABEL_FAULTS = {
    33: "label_kind",
    35: "label_kind",
    36: "label_kind",
    37: "label_null",
    38: "label_empty",
    39: "label_empty",
    40: "label_type",
    41: "label_type",
}


def test_labels_that_are_none_are_listed_by_line(messy: Path) -> None:
    assert codes_by_line(refusal_of(messy / "10_label_variants.jsonl")) == LABEL_FAULTS


def test_odd_labels_come_back_unchanged_and_are_not_merged(messy: Path) -> None:
    result = skip_bad_rows(messy / "10_label_variants.jsonl")
    counts = dict(result.report.labels)
    assert counts["positive"] == 8 + 3  # outer white space of lines 19-21 removed
    assert counts["1"] == 1  # line 34 alone
    odd = {"👍", "👍🏽", "👎", "❤️", "❤", "café", "cafe\u0301", "a/b", "../../etc/passwd", "a,b"}
    odd |= {"line\nbreak", "<b>bold</b>", "=1+1", "x" * 300, "__proto__", "NaN", "null"}
    odd |= {"Straße", "STRASSE", "Positive", "POSITIVE", "pos\u200bitive", "Ｐositive"}
    assert odd <= set(counts)
    assert "p\u043esitive" in counts  # Cyrillic


def test_what_was_done_with_labels_is_said(messy: Path) -> None:
    result = skip_bad_rows(messy / "10_label_variants.jsonl")
    warnings = warnings_of(result)
    assert "3 labels was removed" in warnings["label_white_space"]
    assert "neither learned nor judged" in warnings["label_with_one_row"]
    alike = [p.message for p in result.report.problems if p.code == "labels_look_alike"]
    assert len(alike) == 5
    first = next(message for message in alike if '"Positive"' in message)
    for shown in ('"positive"', '"POSITIVE"', '"pos\\u200bitive"', '"Ｐositive"'):
        assert shown in first
    assert not any("x" * 100 in p.message or "\n" in p.message for p in result.report.problems)


RAGGED = {
    11: "too_few_fields",
    12: "too_many_fields",
    13: "too_many_fields",
    14: "too_few_fields",
    16: "blank_before_quote",
    17: "too_few_fields",
    21: "text_empty",
    22: "label_empty",
    23: "repeated_header",
    24: "unclosed_quote",
}


def test_ragged_rows_are_listed_by_physical_line_and_reason(messy: Path) -> None:
    error = refusal_of(messy / "11_ragged_quotes.csv")
    assert codes_by_line(error) == RAGGED
    messages = {p["line"]: p["message"] for p in problems_of(error)}
    assert "semicolon" in messages[14]
    assert "tab" in messages[17]
    assert "opened on line 24 is never closed" in messages[24]
    assert error.details is not None
    assert error.details["delimiter"] == ","
    assert error.details["num_rows"] == 18


def test_the_good_rows_of_the_ragged_file_keep_their_quotes_and_line_ends(messy: Path) -> None:
    result = skip_bad_rows(messy / "11_ragged_quotes.csv")
    texts = texts_of(result)
    assert len(texts) == 8
    assert "Hello,\nmy card has not arrived.\n\nThanks, Ana" in texts
    assert 'She said "it was stolen, on the bus" yesterday' in texts
    assert 'a 5" screen protector for my card' in texts
    assert "I need to report a stolen card\r\nSecond line" in texts
    assert result.dataset.labels == ("card_arrival", "exchange_rate", "lost_or_stolen_card")


def test_an_excel_workbook_is_known_by_its_bytes(messy: Path) -> None:
    [problem] = problems_of(refusal_of(messy / "12_excel_workbook.csv"))
    assert "Excel workbook" in problem["message"]
    assert "export the sheet as CSV" in problem["message"]


def test_reading_leaves_nothing_behind(messy: Path, tmp_path: Path, monkeypatch: Any) -> None:
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    monkeypatch.setattr("tempfile.tempdir", None)
    refusal_of(messy / "11_ragged_quotes.csv")
    skip_bad_rows(messy / "11_ragged_quotes.csv")
    assert list(tmp_path.iterdir()) == []
