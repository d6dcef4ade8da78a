"""What is too large is refused with the limit, before it is in memory."""

import gzip
import io
import json
import tracemalloc

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from upload_files import errors_of, jsonl, make_rows, read, refused

from skhost.errors import InvalidRequest
from skhost.uploads import ReadLimits

MEBIBYTE = 1 << 20


def test_a_gzip_bomb_is_refused_at_the_limit() -> None:
    bomb = gzip.compress(b"text,label\n" + b"a" * (64 * MEBIBYTE), 9)
    assert len(bomb) < 100_000
    tracemalloc.start()
    error = refused(bomb, limits=ReadLimits(max_bytes=4 * MEBIBYTE))
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert "4,194,304 bytes when unpacked" in error.message
    assert peak < 16 * MEBIBYTE


def test_a_plain_file_beyond_the_limit_is_refused() -> None:
    assert (
        "larger than 10 bytes"
        in refused("text,label\na,b\n", limits=ReadLimits(max_bytes=10)).message
    )


def bomb_of_one_value(value: str, count: int, *, is_list: bool = False) -> bytes:
    indices = pa.array([0] * count, pa.int32())
    texts = pa.DictionaryArray.from_arrays(indices, pa.array([value]))
    labels = pa.array(["a", "b"] * (count // 2))
    buffer = io.BytesIO()
    columns = {"text": texts, "label": labels}
    if is_list:
        columns = {"text": labels, "labels": pa.array([[value] * 10] * count)}
    pq.write_table(pa.table(columns), buffer)
    return buffer.getvalue()


@pytest.mark.parametrize("is_list", [False, True])
def test_a_parquet_bomb_is_refused_before_its_values_are_made(is_list: bool) -> None:
    bomb = bomb_of_one_value("x" * 50_000, 2000, is_list=is_list)
    assert len(bomb) < 200_000
    tracemalloc.start()
    error = refused(bomb, limits=ReadLimits(max_bytes=4 * MEBIBYTE))
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert "when unpacked" in error.message
    assert peak < 16 * MEBIBYTE


def bomb_of_one_list(count: int) -> bytes:
    lists = pa.ListArray.from_arrays(
        pa.array([0, count, count], pa.int32()), pa.nulls(count, "str")
    )
    buffer = io.BytesIO()
    pq.write_table(pa.table({"text": ["x", "y"], "labels": lists}), buffer)
    return buffer.getvalue()


def test_a_parquet_list_of_millions_is_refused_before_it_is_read() -> None:
    bomb = bomb_of_one_list(2_000_000)
    assert len(bomb) < 10_000
    before = pa.default_memory_pool().bytes_allocated()
    assert "when unpacked" in refused(bomb).message
    assert pa.default_memory_pool().bytes_allocated() - before < MEBIBYTE


def test_a_parquet_list_longer_than_a_text_is_refused() -> None:
    assert "more than 100,000 values" in refused(bomb_of_one_list(100_001)).message


def test_a_parquet_value_beyond_the_limit_of_a_line_is_refused() -> None:
    limits = ReadLimits(max_line_chars=1000)
    assert "longer than 1,000" in refused(bomb_of_one_value("x" * 5000, 4), limits=limits).message


def test_a_long_parquet_text_is_listed_by_its_record() -> None:
    rows = [*make_rows(8), {"text": "x" * 100_001, "label": "good"}]
    buffer = io.BytesIO()
    pq.write_table(pa.Table.from_pylist(rows), buffer)
    [problem] = errors_of(refused(buffer.getvalue()))
    assert (problem["record"], problem["code"]) == (9, "text_too_long")


@pytest.mark.parametrize("as_array", [False, True])
def test_too_many_rows(as_array: bool) -> None:
    content = json.dumps(make_rows(21)) if as_array else jsonl(make_rows(21))
    assert "more than 20 rows" in refused(content, limits=ReadLimits(max_rows=20)).message
    assert read(content, limits=ReadLimits(max_rows=21)).report.num_used == 21


def test_too_many_rows_of_parquet() -> None:
    content = bomb_of_one_value("x", 30)
    assert "30 rows; at most 20" in refused(content, limits=ReadLimits(max_rows=20)).message


def test_too_many_columns() -> None:
    limits = ReadLimits(max_columns=3)
    assert "4 columns" in refused("text,label,c,d\n1,2,3,4\n", limits=limits).message
    buffer = io.BytesIO()
    pq.write_table(pa.table({name: ["x"] for name in "abcd"}), buffer)
    assert "4 columns" in refused(buffer.getvalue(), limits=limits).message
    assert "3 different keys" in refused(jsonl([dict.fromkeys("abcd", 1)]), limits=limits).message


def test_a_line_without_end_is_cut_and_listed_and_the_next_is_read() -> None:
    limits = ReadLimits(max_line_chars=1000)
    content = jsonl([*make_rows(4), {"text": "x" * 5000, "label": "good"}, *make_rows(12)[4:]])
    report = read(content, limits=limits, on_bad_rows="skip").report
    assert [(p.line, p.code) for p in report.problems] == [(5, "line_too_long")]
    assert report.num_used == 12


def test_an_array_element_without_end_is_refused() -> None:
    limits = ReadLimits(max_line_chars=70_000)
    content = json.dumps([*make_rows(4), {"text": "x" * 300_000, "label": "good"}])
    assert "longer than 70,000 characters" in refused(content, limits=limits).message


def test_a_long_csv_field_is_listed_and_the_next_row_is_read() -> None:
    rows = "".join(f"text {i},{'ab'[i % 2]}\n" for i in range(10))
    content = "text,label\n" + "x" * 100_001 + ",a\n" + "y" * 140_000 + ",a\n" + rows
    report = read(content, on_bad_rows="skip").report
    assert {p.line: p.code for p in report.problems} == {2: "text_too_long", 3: "field_too_long"}
    assert report.num_used == 10


def test_too_many_labels() -> None:
    limits = ReadLimits(max_labels=5)
    assert "6 different labels" in refused(jsonl(make_rows(12, "abcdef")), limits=limits).message


def test_a_long_label_is_listed() -> None:
    [problem] = errors_of(refused(jsonl([*make_rows(4), {"text": "t", "label": "x" * 513}])))
    assert (problem["line"], problem["code"]) == (5, "label_too_long")


def test_limits_that_cannot_be_kept_are_refused() -> None:
    with pytest.raises(InvalidRequest, match="max_rows"):
        ReadLimits(max_rows=0)
    with pytest.raises(InvalidRequest, match="max_text_chars"):
        ReadLimits(max_text_chars=1_000_000)
