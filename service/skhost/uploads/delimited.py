"""CSV and its kin."""

from collections.abc import Iterator, Sequence, Set
from itertools import islice
from typing import BinaryIO

from skhost.uploads.dialect import DELIMITERS, Dialect, find_dialect
from skhost.uploads.excerpt import excerpt, listing
from skhost.uploads.lines import read_lines
from skhost.uploads.problems import Findings
from skhost.uploads.quoted import RawRecord, parse
from skhost.uploads.records import Record

SAMPLE_CHARS = 1 << 20
SAMPLE_LINES = 20_000
_NAMES = {",": "comma", "\t": "tab", ";": "semicolon", "|": "vertical bar"}


class Delimited:
    """A delimited file: its header is read at once, its rows on request."""

    is_text = True

    def __init__(self, file: BinaryIO, codec: str, known: Set[str], findings: Findings) -> None:
        self._file = file
        self._codec = codec
        self._findings = findings
        self._dialect = self._find_dialect(known)
        findings.delimiter = self._dialect.delimiter
        findings.quoting = "double quotes" if self._dialect.is_quoted else "none"
        self._header_line, self.columns = self._read_header()
        findings.columns = self.columns
        if not self._dialect.is_quoted:
            message = "quotes are taken as plain characters: they do not enclose fields here"
            findings.warn("quoting_off", message)

    def records(self, wanted: Set[str]) -> Iterator[Record]:
        """Every row after the header; blank ones are passed over."""
        del wanted  # a row is short, and cutting it up costs more than keeping it
        num_blank = 0
        for record in self._parse():
            if record.line <= self._header_line:
                continue
            if record.fault is None and not any(cell.strip() for cell in record.fields):
                num_blank += 1
                continue
            yield self._record(record)
        if num_blank:
            self._findings.warn("blank_lines", f"{num_blank:,} blank rows passed over",
                                count=num_blank)  # fmt: skip

    def _record(self, record: RawRecord) -> Record:
        fault = record.fault or self._misfit(record.fields)
        if fault is not None:
            self._findings.bad_row(*fault, record.line)
            return Record(record.line, None)
        return Record(record.line, dict(zip(self.columns, record.fields, strict=True)))

    def _misfit(self, fields: Sequence[str]) -> tuple[str, str] | None:
        seen, expected = len(fields), len(self.columns)
        if seen != expected:
            names = f"{expected} ({listing(self.columns, 6)})"
            advice = self._other_delimiter(fields) if seen < expected else self._quote_advice()
            code = "too_few_fields" if seen < expected else "too_many_fields"
            return code, f"{seen} {_fields(seen)} where the header has {names}{advice}"
        if tuple(cell.strip() for cell in fields) == self.columns:
            return "repeated_header", "the header again"
        return None

    def _other_delimiter(self, fields: Sequence[str]) -> str:
        own = self._dialect.delimiter
        for other in DELIMITERS:
            if other != own and any(other in cell for cell in fields):
                return f"; it has a {_NAMES[other]} where the file is separated by {_NAMES[own]}s"
        return ""

    def _quote_advice(self) -> str:
        name = _NAMES[self._dialect.delimiter]
        return f"; put a text that contains a {name} in double quotes"

    def _parse(self) -> Iterator[RawRecord]:
        limit = self._findings.limits.max_line_chars
        lines = read_lines(self._file, self._codec, limit)
        dialect = self._dialect
        return parse(lines, dialect.delimiter, is_quoted=dialect.is_quoted, max_line_chars=limit)

    def _find_dialect(self, known: Set[str]) -> Dialect:
        limit = self._findings.limits.max_line_chars
        lines = read_lines(self._file, self._codec, limit)
        sample, size = [], 0
        for line in islice(lines, SAMPLE_LINES):
            sample.append(line)
            size += len(line)
            if size > SAMPLE_CHARS:
                break
        is_cut = next(lines, None) is not None
        return find_dialect(sample, known, is_cut=is_cut)

    def _read_header(self) -> tuple[int, tuple[str, ...]]:
        """The header's last physical line, and its names without outer blanks."""
        skip = 1 if self._dialect.has_separator_line else 0
        records = (r for r in self._parse() if r.line > skip and any(f.strip() for f in r.fields))
        header = next(records, None)
        if header is None or header.fault is not None:
            reason = "no header line" if header is None else header.fault[1]  # type: ignore[index]
            raise self._findings.refusal("header", f"the header cannot be read: {reason}")
        limit = self._findings.limits.max_columns
        if len(header.fields) > limit:
            message = f"{len(header.fields):,} columns; at most {limit:,} are read"
            raise self._findings.refusal("too_many_columns", message)
        return header.last_line, self._unique([name.strip() for name in header.fields])

    def _unique(self, names: list[str]) -> tuple[str, ...]:
        named = [name or f"column {number}" for number, name in enumerate(names, 1)]
        repeated = sorted({name for name in named if named.count(name) > 1})
        if repeated:
            message = f"the header has {excerpt(repeated[0])} more than once; rename one"
            raise self._findings.refusal("repeated_column", message, column=repeated[0])
        return tuple(named)


def _fields(count: int) -> str:
    return "field" if count == 1 else "fields"
