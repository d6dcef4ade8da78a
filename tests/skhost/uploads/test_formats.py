"""Every format, plain and gzipped, gives the same rows; what is no table is named."""

import gzip
import io
import json
import random
import zipfile
from collections.abc import Callable
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from upload_files import read, refused

from skhost.errors import UploadRefused
from skhost.uploads import ReadRequest, read_dataset
from sktuning.data import Example, TextInput

ROWS = [
    ("It came late", "bad"),
    ("Très bien ✓", "good"),
    ('a "b", c', "bad"),
    ("two\nlines", "good"),
]
ROWS += [(f"row {i}", "bad" if i % 2 else "good") for i in range(20)]
EXPECTED = {Example(TextInput(text), label) for text, label in ROWS}


def delimited(delimiter: str) -> bytes:
    quoted = [tuple('"' + cell.replace('"', '""') + '"' for cell in row) for row in ROWS]
    return "\n".join(delimiter.join(row) for row in [("text", "label"), *quoted]).encode()


def objects() -> list[dict[str, str]]:
    return [{"text": text, "label": label} for text, label in ROWS]


def parquet(**options: object) -> bytes:
    buffer = io.BytesIO()
    pq.write_table(pa.Table.from_pylist(objects()), buffer, **options)
    return buffer.getvalue()


CONTENTS: dict[str, Callable[[], bytes]] = {
    "comma": lambda: delimited(","),
    "tab": lambda: delimited("\t"),
    "semicolon": lambda: delimited(";"),
    "bar": lambda: delimited("|"),
    "excel separator line": lambda: b"sep=;\r\n" + delimited(";"),
    "jsonl": lambda: "\n".join(json.dumps(row) for row in objects()).encode(),
    "jsonl, utf-8": lambda: "\n".join(
        json.dumps(r, ensure_ascii=False) for r in objects()
    ).encode(),
    "array": lambda: json.dumps(objects()).encode(),
    "array over lines": lambda: json.dumps(objects(), indent=2, ensure_ascii=False).encode(),
    "parquet": parquet,
    "parquet, zstd": lambda: parquet(compression="zstd"),
    "parquet, no dictionary": lambda: parquet(use_dictionary=False, row_group_size=3),
}


@pytest.mark.parametrize("is_gzipped", [False, True])
@pytest.mark.parametrize("kind", CONTENTS)
def test_all_formats_give_the_same_rows(kind: str, is_gzipped: bool) -> None:
    content = CONTENTS[kind]()
    result = read(gzip.compress(content) if is_gzipped else content)
    assert {*result.dataset.train, *result.dataset.held_out} == EXPECTED
    assert result.report.num_used == len(ROWS)
    assert result.report.compression == ("gzip" if is_gzipped else None)


@pytest.mark.parametrize("codec", ["utf-8", "utf-8-sig", "utf-16", "utf-16-le", "utf-16-be"])
@pytest.mark.parametrize("kind", ["comma", "jsonl, utf-8", "array over lines"])
def test_encodings_with_their_marks(kind: str, codec: str) -> None:
    mark = "\ufeff" if codec in ("utf-16-le", "utf-16-be") else ""
    content = (mark + CONTENTS[kind]().decode()).encode(codec)
    result = read(content)
    assert {*result.dataset.train, *result.dataset.held_out} == EXPECTED
    assert result.report.columns == {"text": "text", "target": "label"}


def test_several_gzip_members_are_one_file() -> None:
    content = CONTENTS["jsonl"]()
    both = gzip.compress(content[:100]) + gzip.compress(content[100:])
    assert read(both).report.num_used == len(ROWS)


def zipped(*names: str) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for name in names:
            archive.writestr(name, "x" * 20_000)
    return buffer.getvalue()


REFUSED = {
    "Excel workbook": zipped("[Content_Types].xml", "docProps/app.xml", "xl/workbook.xml"),
    "Word document": zipped("[Content_Types].xml", "word/document.xml"),
    "ZIP archive": zipped("train.csv"),
    "old Office file": b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1" + b"\0" * 600,
    "PDF": b"%PDF-1.7\n%\xe2\xe3\xcf\xd3\n",
    "Arrow": b"ARROW1\0\0" + b"\0" * 50,
    "SQLite": b"SQLite format 3\0" + b"\0" * 50,
    "HTML": b"\n<!DOCTYPE html><html><body>text,label</body></html>",
    "pickle": b"\x80\x04\x95\x10\0\0\0",
    "Zstandard": b"\x28\xb5\x2f\xfd\x04",
    "tar archive": b"train.csv" + b"\0" * 248 + b"ustar\x0000",
    "Rich Text": rb"{\rtf1\ansi text, label}",
}


@pytest.mark.parametrize("kind", REFUSED)
def test_what_is_no_table_is_named_with_what_to_do(kind: str) -> None:
    error = refused(REFUSED[kind])
    assert kind in error.message
    assert any(word in error.message for word in ("upload", "export", "unpack", "write"))
    gzipped = refused(gzip.compress(REFUSED[kind]))
    assert kind in gzipped.message


@pytest.mark.parametrize(
    "content", [b"", b"\n \n\t\n", gzip.compress(b"", mtime=0), b"text,label\n", b"[]", b"[ ]\n"]
)
def test_files_without_rows_say_so(content: bytes) -> None:
    message = refused(content).message
    assert "empty" in message or "no rows" in message or "blank" in message or "column" in message


def test_a_cut_gzip_file_is_refused() -> None:
    assert "ends too early" in refused(gzip.compress(CONTENTS["comma"]())[:-30]).message


def test_a_damaged_gzip_file_is_refused() -> None:
    content = bytearray(gzip.compress(CONTENTS["comma"]()))
    content[len(content) // 2] ^= 0xFF
    assert "gzip stream" in refused(bytes(content)).message


def test_gzip_inside_gzip_is_refused() -> None:
    assert "gzip inside gzip" in refused(gzip.compress(gzip.compress(b"text,label\n"))).message


def test_a_cut_parquet_file_is_refused() -> None:
    content = parquet()
    assert "damaged Parquet" in refused(content[:-20]).message


@pytest.mark.parametrize("name", ["rows.parquet", "ROWS.PQ", "rows.parquet.gz"])
def test_what_is_neither_text_nor_parquet_is_called_what_its_name_says(
    name: str, tmp_path: Path
) -> None:
    content = random.Random(7).randbytes(4096)
    path = tmp_path / "upload"
    path.write_bytes(gzip.compress(content) if name.endswith(".gz") else content)
    with pytest.raises(UploadRefused, match="no Parquet file, though its name says so") as caught:
        read_dataset(path, ReadRequest(), filename=name)
    assert "UTF-8" not in caught.value.message
    details = caught.value.details
    assert details is not None
    assert [problem["code"] for problem in details["problems"]] == ["damaged_parquet"]
    assert details["num_problems"] == 1
    assert "UTF-8" in refused(content).message
    path.write_bytes(CONTENTS["comma"]())  # whatever it is called
    assert read_dataset(path, ReadRequest(), filename=name).report.format == "csv"


def test_parquet_with_damaged_pages_is_refused() -> None:
    content = bytearray(parquet(use_dictionary=False, compression="none"))
    content[4:60] = b"\xff" * 56
    assert "Parquet" in refused(bytes(content)).message


PARQUET_FAULTS: dict[str, pa.Table] = {
    "same name": pa.table([pa.array(["a"])] * 2, names=["text", "text"]),
    "type struct": pa.table({"text": [{"a": "b"}] * 4, "label": ["a", "b"] * 2}),
    "a number": pa.table({"text": [1, 2, 3, 4], "label": ["a", "b"] * 2}),
    "no label column": pa.table({"text": ["a", "b"]}),
}


@pytest.mark.parametrize("reason", PARQUET_FAULTS)
def test_parquet_columns_that_cannot_be_used_are_named(reason: str) -> None:
    buffer = io.BytesIO()
    pq.write_table(PARQUET_FAULTS[reason], buffer)
    assert reason in refused(buffer.getvalue()).message


def test_parquet_categories_and_lists_are_plain_labels() -> None:
    buffer = io.BytesIO()
    texts = [f"text {i}" for i in range(12)]
    labels = pa.array(["a", "b"] * 6).dictionary_encode()
    pq.write_table(pa.table({"text": pa.array(texts, pa.large_string()), "label": labels}), buffer)
    assert read(buffer.getvalue()).dataset.labels == ("a", "b")
    buffer = io.BytesIO()
    pq.write_table(pa.table({"text": texts, "labels": [["a"], ["a", "b"]] * 6}), buffer)
    assert read(buffer.getvalue()).report.labels == (("a", 12), ("b", 6))


def test_encrypted_parquet_is_named() -> None:
    assert "encrypted Parquet" in refused(b"PARE" + b"\0" * 100).message


@pytest.mark.parametrize(
    ("content", "offset", "line"),
    [
        (b"text,label\ncaf\xe9,a\n", 14, 2),
        (b"\xef\xbb\xbftext,label\ncaf\xe9,a\n", 17, 2),
        (b"text,label\n" + b"x,y\n" * 300_000 + b"caf\xe9,a\n", 1_200_014, 300_002),
        (b"text,label\nx" + "é".encode() * 600_000 + b"\xe9,a\n", 1_200_012, 2),
        (b"\xef\xbb\xbf\xe9", 3, 1),
        (b"text,label\na,b\xc3", 14, 2),
    ],
)
def test_the_first_byte_that_is_not_utf8_is_placed(content: bytes, offset: int, line: int) -> None:
    error = refused(content)
    assert f"at offset {offset};" in error.message
    assert error.details is not None
    assert error.details["problems"][0]["line"] == line


def test_utf16_without_a_mark_is_recognised() -> None:
    message = refused("text,label\ngood,a\n".encode("utf-16-le")).message
    assert "UTF-16 without a byte-order mark" in message


def test_broken_utf16_is_refused() -> None:
    assert "broken UTF-16" in refused("text,label\na,b\n".encode("utf-16") + b"\x00").message


def test_utf32_is_refused() -> None:
    assert "UTF-32" in refused("text,label\na,b\n".encode("utf-32")).message
