"""JSON Lines and arrays: what is wrong is placed, and nothing is hidden."""

import json

import pytest
from upload_files import jsonl, make_rows, read, refused

BAD_LINES = {
    '{"text": "a", "label": "b"': "invalid_json",
    "{'text': 'a'}": "invalid_json",
    '["a", "b"]': "not_an_object",
    '"a"': "not_an_object",
    '{"text": "a", "text": "c", "label": "b"}': "repeated_key",
    '{"text": ' + "[" * 40 + "]" * 40 + ', "label": "b"}': "too_deep",
    '{"text": ' + "[" * 100_000 + "]" * 100_000 + ', "label": "b"}': "too_deep",
    '{"text": "a", "label": ' + "9" * 5000 + "}": "invalid_json",
    '{"text": "a\\ud800", "label": "good"}': "lone_surrogate",
    '{"text": "a\\u0000", "label": "good"}': "nul_byte",
    '{"text": ["a"], "label": "good"}': "text_type",
    '{"text": "a", "label": NaN}': "label_null",
}


@pytest.mark.parametrize(("line", "code"), BAD_LINES.items(), ids=lambda text: str(text)[:20])
def test_a_bad_line_is_listed_and_the_others_are_read(line: str, code: str) -> None:
    content = jsonl(make_rows(4)) + "\n" + line + "\n" + jsonl(make_rows(12)[4:])
    report = read(content, on_bad_rows="skip").report
    [problem] = [p for p in report.problems if p.line is not None]
    assert (problem.line, problem.code) == (6, code)
    assert (report.num_rows, report.num_used, report.num_skipped) == (13, 12, 1)


def test_a_bad_element_of_an_array_is_listed_by_record() -> None:
    content = json.dumps(
        [*make_rows(4), "no object", {"text": 5, "label": "good"}, *make_rows(12)[4:]]
    )
    report = read(content, on_bad_rows="skip").report
    assert {p.record: p.code for p in report.problems} == {5: "not_an_object", 6: "text_type"}
    assert report.num_used == 12


@pytest.mark.parametrize(
    ("content", "reason", "line"),
    [
        ('[{"text": "a", "label": "b"}\n{"text": "c"}]', "expected ','", 2),
        ('[\n{"text": "a", "label": "b"},\n{"text" "c"}]', "Expecting ':'", 3),
        ('[\n{"text": "a", "label": "b"}', "not closed", 2),
        ('[\n{"text": "a", "label": "b', "Unterminated string", 2),
        ('[{"text": "a", "label": "b"}] []', "something follows", 1),
        ('[{"text": "a", "label": "b"},]', "Expecting value", 1),
        ("[" * 100_000, "nested too deep", 1),
    ],
)
def test_a_broken_array_is_refused_with_its_line(content: str, reason: str, line: int) -> None:
    message = refused(content).message
    assert reason in message
    assert f"line {line}" in message


def test_lines_of_arrays_are_told_what_a_row_is() -> None:
    message = refused('["a", "good"]\n["b", "bad"]\n').message
    assert "array of objects" in message


def test_an_array_larger_than_the_buffer_is_read_whole() -> None:
    long = [{"text": f"{i} " + "ü" * 50_000, "label": "ab"[i % 2]} for i in range(8)]
    result = read(json.dumps(long, ensure_ascii=False, indent=1))
    found = {row.input.text for row in (*result.dataset.train, *result.dataset.held_out)}
    assert found == {row["text"] for row in long}


@pytest.mark.parametrize(
    "content",
    [
        json.dumps({"data": [{"text": "a", "label": "b"}]}, indent=2),
        json.dumps({"text": ["a", "b"], "label": ["x", "y"]}, indent=2),
    ],
)
def test_one_object_over_many_lines_is_one_refusal(content: str) -> None:
    error = refused(content)
    assert "JSON object over many lines" in error.message
    assert error.details is not None
    assert error.details["num_problems"] == 1


def test_many_bad_lines_are_counted_and_some_listed() -> None:
    error = refused(jsonl(make_rows(4)) + "{broken\n" * 5000)
    assert error.details is not None
    assert len(error.details["problems"]) == 100
    assert error.details["num_problems"] == error.details["num_bad_rows"] == 5000
    assert "4,995 more" in error.message
    assert len(error.message) < 1000


def test_hostile_values_are_escaped_and_cut_in_messages() -> None:
    label = "\x1b[31m\u202e\x00" + "A" * 5000
    rows = [{"text": "x", label: "a"}, {"text": "y", label: "b"}]
    error = refused("\n".join(json.dumps(row) for row in rows))
    shown = json.dumps([error.message, error.details], ensure_ascii=False)
    assert "\\x1b[31m\\u202e" in error.message
    assert not {"\x1b", "\u202e", "\x00"} & set(error.message)
    assert "A" * 100 not in shown
