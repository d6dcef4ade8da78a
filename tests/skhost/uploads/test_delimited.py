"""Delimiters, quotes and header lines."""

import pytest
from upload_files import read, refused, texts_of

from skhost.uploads import ColumnChoice
from skhost.uploads.dialect import find_dialect


def body(delimiter: str, count: int = 10) -> str:
    return "".join(f"text {i}{delimiter}{'ab'[i % 2]}\n" for i in range(count))


def test_commas_in_every_text_do_not_make_a_semicolon_file_comma_separated() -> None:
    rows = "".join(f"one, two, {i};{'ab'[i % 2]}\n" for i in range(10))
    result = read("text;label\n" + rows)
    assert result.report.delimiter == ";"
    assert "one, two, 3" in texts_of(result)


def test_one_odd_row_does_not_switch_the_delimiter() -> None:
    result = read("text,label\na;b;c;d;e;f\n" + body(","), on_bad_rows="skip")
    assert (result.report.delimiter, result.report.num_used) == (",", 10)


def test_a_header_of_unknown_names_is_judged_by_its_rows() -> None:
    choice = ColumnChoice(text="Kommentar, frei", label="Urteil")
    rows = "".join(f"so, {i};{'ab'[i % 2]}\n" for i in range(10))
    assert read("Kommentar, frei;Urteil\n" + rows, columns=choice).report.delimiter == ";"


def test_a_single_column_is_refused_for_its_missing_label() -> None:
    assert 'found "text"' in refused("text\none\ntwo\n").message


def test_a_file_without_a_header_is_told_so() -> None:
    message = refused("I like it,good\nI hate it,bad\n").message
    assert "first line is read as the header" in message


def test_tab_separated_texts_with_stray_quotes_are_read_without_quoting() -> None:
    rows = [f'"unbalanced {i}\t{"ab"[i % 2]}' for i in range(30)]
    rows += [f'he said "yes" {i}\t{"ab"[i % 2]}' for i in range(30)]
    result = read("text\tlabel\n" + "\n".join(rows))
    assert result.report.num_used == 60
    assert '"unbalanced 3' in texts_of(result)
    assert "quoting_off" in {p.code for p in result.report.problems}


def test_quotes_that_enclose_fields_are_taken_off() -> None:
    rows = "".join(f'"text, ""{i}"""\t"{"ab"[i % 2]}"\n' for i in range(10))
    result = read("text\tlabel\n" + rows)
    assert 'text, "3"' in texts_of(result)
    assert result.report.quoting == "double quotes"


def test_a_long_quoted_text_at_the_samples_end_does_not_turn_quoting_off() -> None:
    sample = ["text,label\n", *(f"text {i},a\n" for i in range(50)), '"cut in the\n', "middle\n"]
    dialect = find_dialect(sample, frozenset({"text", "label"}), is_cut=True)
    assert dialect.is_quoted


def test_text_after_a_closing_quote_is_refused_by_line() -> None:
    error = refused('text,label\n"good" really,a\n' + '"x, y",b\n' * 3 + body(","))
    assert error.details is not None
    [problem] = [p for p in error.details["problems"] if p["severity"] == "error"]
    assert (problem["line"], problem["code"]) == (2, "quote")


def test_a_quote_that_swallows_too_much_is_bounded() -> None:
    rows = 'text,label\n"never closed,a\n' + body(",", 20_000)
    error = refused(rows)
    assert error.details is not None
    [problem] = error.details["problems"]
    assert (problem["line"], problem["code"]) == (2, "field_too_long")
    assert error.details["num_rows"] < 20_000  # and the rows after it were read again


def test_blank_names_and_outer_blanks_in_the_header() -> None:
    report = read(
        ",Text , LABEL\n" + "".join(f"{i},t {i},{'ab'[i % 2]}\n" for i in range(8))
    ).report
    assert report.columns == {"text": "Text", "target": "LABEL"}
    assert report.unused_columns == ("column 1",)


def test_a_name_twice_in_the_header_is_refused() -> None:
    assert '"label" more than once' in refused("text,label,label\na,b,c\n").message


def test_carriage_returns_alone_end_lines() -> None:
    assert read(("text,label\n" + body(",")).replace("\n", "\r")).report.num_used == 10


def test_rows_of_empty_cells_are_blank_rows() -> None:
    report = read("text,label\n,\n" + body(",") + " , \n").report
    assert report.num_used == 10
    assert [(p.code, p.count) for p in report.problems] == [("blank_lines", 2)]


@pytest.mark.parametrize("line", ["sep=;", '"sep=;"', "SEP=;"])
def test_excels_separator_line_decides(line: str) -> None:
    report = read(f"{line}\r\ntext;label\r\n" + body(";")).report
    assert (report.delimiter, report.num_used) == (";", 10)
