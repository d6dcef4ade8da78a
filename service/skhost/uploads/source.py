"""From a file to its source of rows: the one place that knows which reader a format has."""

from collections.abc import Iterator, Set
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

from skhost.uploads.content import HEAD_BYTES, Format, refused_kind, text_format
from skhost.uploads.delimited import Delimited
from skhost.uploads.encoding import BadEncoding, find_encoding
from skhost.uploads.jsonarray import JsonArray
from skhost.uploads.jsonlines import JsonLines
from skhost.uploads.lines import read_lines
from skhost.uploads.opened import opened
from skhost.uploads.parquet import Parquet
from skhost.uploads.problems import Findings
from skhost.uploads.records import Source

TAIL_BYTES = 1 << 16
_PARQUET = b"PAR1"
_PARQUET_NAMES = (".parquet", ".pq")


@contextmanager
def open_source(path: Path, known: Set[str], findings: Findings) -> Iterator[Source]:
    """The rows of the file at `path`, recognised by its content.

    Args:
        known: column names to expect; they tell a header's delimiter.

    Raises:
        UploadRefused: a kind of file that is not read, or one that is damaged.
    """
    with opened(path, findings) as file:
        yield _source(file, known, findings)


def _source(file: BinaryIO, known: Set[str], findings: Findings) -> Source:
    head, tail = _ends(file)
    if head.startswith(_PARQUET):
        findings.format, findings.unit = Format.PARQUET, "record"
        return Parquet(file, findings)
    if refused := refused_kind(head, tail):
        kind, advice = refused
        raise findings.refusal("unreadable_format", f"this is {kind}: {advice}")
    codec = findings.encoding = _encoding(file, findings)
    findings.format = text_format(_start(file, codec, findings))
    if findings.format == Format.JSON_LINES:
        return JsonLines(file, codec, findings)
    if findings.format == Format.JSON_ARRAY:
        findings.unit = "record"
        return JsonArray(file, codec, findings)
    return Delimited(file, codec, known, findings)


def _encoding(file: BinaryIO, findings: Findings) -> str:
    try:
        return find_encoding(file)
    except BadEncoding as error:
        if not findings.file.lower().removesuffix(".gz").endswith(_PARQUET_NAMES):
            raise findings.refusal("encoding", error.message, where=error.line) from error
        message = (
            "no Parquet file, though its name says so: it begins with other bytes, and is no text "
            "either; is it complete?"
        )
        raise findings.refusal("damaged_parquet", message) from error


def _ends(file: BinaryIO) -> tuple[bytes, bytes]:
    file.seek(0)
    head = file.read(HEAD_BYTES)
    size = file.seek(0, 2)
    file.seek(max(0, size - TAIL_BYTES))
    return head, file.read(TAIL_BYTES)


def _start(file: BinaryIO, codec: str, findings: Findings) -> str:
    lines = read_lines(file, codec, HEAD_BYTES)
    start = next((text for line in lines if (text := line.strip())), "")
    if not start:
        raise findings.refusal("empty_file", "the file holds only blank lines")
    return start
