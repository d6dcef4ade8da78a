"""Rows to classify from a file or standard input, as they are read: never all of them at once."""

import sys
from collections.abc import Callable, Mapping
from functools import partial
from itertools import chain, islice
from pathlib import Path
from typing import Any, BinaryIO

from skhost.api.lines import Line, LineSplitter
from skhost.cli.scoring import Batches, Given
from skhost.cli.session import CommandError
from skhost.uploads.cells import words_of
from skhost.uploads.columns import InputColumns, find_inputs, known_names
from skhost.uploads.jsonvalue import make_decoder, parse_object
from skhost.uploads.limits import ReadLimits
from skhost.uploads.problems import BadCell, Findings
from skhost.uploads.records import MISSING, Record
from skhost.uploads.request import ColumnChoice
from skhost.uploads.source import open_source
from skhost.uploads.texts import checked_text

ANY = 1 << 62  # the server has limits of its own
LIMITS = ReadLimits(max_bytes=ANY, max_rows=ANY)
PIECE_BYTES = 1 << 16
BATCH = 64
TABLES = frozenset({".csv", ".tsv", ".jsonl", ".ndjson", ".json", ".parquet"})
_PARQUET = b"PAR1"


def choice_of(named: Mapping[str, str | None]) -> ColumnChoice:
    """The columns of the roles that were named."""
    return ColumnChoice(named["text"], named["text_pair"], tokens=named["tokens"])


def batches_of(file: Path | None, choice: ColumnChoice) -> Batches:
    """The rows of a file, or of standard input, some at a time.

    A table by its name, its content (Parquet) or a named column; else JSON Lines, where the first
    line begins with a brace; else one text a line. The first rows are read at once, so that a file
    that cannot be read is known of before anything is sent.

    Raises:
        OSError, UploadRefused: it cannot be read, or nothing in it can be the text.
    """
    if file is None:
        batches = _lines(sys.stdin.buffer, choice, "stdin")
    elif choice.named() or _is_table(file):
        batches = _table(file, choice)
    else:
        batches = _file_lines(file, choice)
    first = list(islice(batches, 1))
    return chain(first, batches)


def count_rows(file: Path | None) -> int | None:
    """About how many rows a file has; None where only reading it would say."""
    if file is None or _suffix(file) == ".json" or file.suffix == ".gz":
        return None
    with file.open("rb") as opened:
        if opened.read(4) == _PARQUET:
            import pyarrow.parquet as pq

            return int(pq.ParquetFile(opened).metadata.num_rows)
        opened.seek(0)
        pieces = iter(partial(opened.read, 1 << 20), b"")
        num_lines = sum(piece.count(b"\n") for piece in pieces)
    return max(num_lines - (_suffix(file) in {".csv", ".tsv"}), 1)


def _suffix(file: Path) -> str:
    name = file.with_suffix("") if file.suffix == ".gz" else file
    return name.suffix.lower()


def _is_table(file: Path) -> bool:
    with file.open("rb") as opened:
        return _suffix(file) in TABLES or opened.read(4) == _PARQUET


def _table(file: Path, choice: ColumnChoice) -> Batches:
    findings = Findings(file.name, LIMITS)
    with open_source(file, known_names(choice), findings) as source:
        columns = find_inputs(choice, findings)
        read = partial(_given, columns=columns, findings=findings, is_text=source.is_text)
        records = source.records(columns.names())
        while batch := [read(record) for record in islice(records, BATCH)]:
            yield batch


def _file_lines(file: Path, choice: ColumnChoice) -> Batches:
    with file.open("rb") as opened:
        yield from _lines(opened, choice, file.name)


def _lines(stream: BinaryIO, choice: ColumnChoice, name: str) -> Batches:
    """What has come goes at once: a pipe may be slow."""
    splitter = LineSplitter(ANY)
    pieces = iter(partial(_read1, stream), b"")
    batches = (list(splitter.feed(piece)) for piece in pieces)
    read: Callable[[Line], Given] | None = None
    for lines in chain(batches, (list(splitter.close()) for _ in (None,))):
        if lines:
            read = read or _reader_of(lines[0], choice, name)
            for start in range(0, len(lines), BATCH):
                yield [read(line) for line in lines[start : start + BATCH]]


def _read1(stream: BinaryIO) -> bytes:
    read1: Callable[[int], bytes] = getattr(stream, "read1", stream.read)
    return read1(PIECE_BYTES)


def _reader_of(first: Line, choice: ColumnChoice, name: str) -> Callable[[Line], Given]:
    data = first.data or b""
    if not data.lstrip().startswith(b"{"):
        if choice.named():
            raise CommandError(f"{name} has lines of text: columns can be named of a table only")
        return partial(_text_line, name=name)
    findings = Findings(name, LIMITS)
    parse = partial(parse_object, decoder=make_decoder(), max_depth=LIMITS.max_depth)
    try:
        findings.columns = tuple(parse(_decoded(first, name)))
    except BadCell as bad:
        raise CommandError(f"{name}: line {first.number}: {bad.message}") from None
    columns = find_inputs(choice, findings)

    def read(line: Line) -> Given:
        try:
            record = Record(line.number, parse(_decoded(line, name)))
        except BadCell as bad:
            return _bad(bad)
        return _given(record, columns=columns, findings=findings, is_text=False)

    return read


def _text_line(line: Line, name: str) -> Given:
    return Given({"text": _decoded(line, name).rstrip("\r")})


def _decoded(line: Line, name: str) -> str:
    try:
        return (line.data or b"").decode()
    except UnicodeDecodeError as error:
        raise CommandError(
            f"{name}: line {line.number} is not UTF-8 text: {error.reason}"
        ) from error


def _given(record: Record, columns: InputColumns, findings: Findings, *, is_text: bool) -> Given:
    if record.cells is None:
        problem = findings.errors.pop()  # so that there is always room for the next
        return Given({}, {"code": problem.code, "message": str(problem)})
    row: dict[str, Any] = {}
    try:
        if (row_id := _id(record.cells, columns)) is not None:
            row["id"] = row_id
        row.update(_input(record.cells, columns, is_text=is_text))
    except BadCell as bad:
        return _bad(bad, row)
    return Given(row)


def _id(cells: Mapping[str, object], columns: InputColumns) -> str | int | None:
    value = cells.get(columns.id) if columns.id else None
    is_plain = isinstance(value, int) and not isinstance(value, bool)
    return value if is_plain or value is None else str(value)  # type: ignore[return-value]


def _input(cells: Mapping[str, object], columns: InputColumns, *, is_text: bool) -> dict[str, Any]:
    if columns.tokens is not None:
        words = words_of(cells.get(columns.tokens, MISSING), ANY, is_text=is_text)
        return {"tokens": list(words)}
    text = checked_text(cells.get(columns.text or "", MISSING), "text", ANY)
    if columns.text_pair is None:
        return {"text": text}
    return {"pair": [text, checked_text(cells.get(columns.text_pair, MISSING), "text_pair", ANY)]}


def _bad(bad: BadCell, row: Mapping[str, Any] | None = None) -> Given:
    return Given(row or {}, {"code": bad.code, "message": bad.message})
