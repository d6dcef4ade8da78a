"""Which delimiter and quoting a delimited file has, decided by its header and first megabyte.

A single odd row decides nothing: a delimiter is judged by the names in the header first and by
how many rows have the header's number of fields second.
"""

from collections.abc import Iterable, Sequence, Set
from dataclasses import dataclass

from skhost.uploads.quoted import RawRecord, parse

DELIMITERS = (",", "\t", ";", "|")
NO_QUOTING_SHARE = 0.99  # of the lines must fit before quotes are taken for plain characters
MIN_OPEN = 3  # fields that begin with a quote and do not end with one
CUT_SPAN = 50  # lines of a record that the sample's end may have cut
_SEPARATOR_LINE = "sep="  # Excel's own first line


@dataclass(frozen=True, slots=True)
class Dialect:
    """How a delimited file is written."""

    delimiter: str
    is_quoted: bool = True
    has_separator_line: bool = False  # Excel's "sep=;" before the header


@dataclass(frozen=True, slots=True)
class _Trial:
    """One delimiter and quoting tried on the sample."""

    dialect: Dialect
    header: tuple[str, ...]
    num_known: int
    num_fitting: int  # physical lines that belong to well-formed rows
    num_lines: int

    @property
    def share(self) -> float:
        return self.num_fitting / max(self.num_lines, 1)

    @property
    def rank(self) -> tuple[int, bool, int]:
        return self.num_known, len(self.header) > 1, self.num_fitting


def find_dialect(sample: Sequence[str], known: Set[str], *, is_cut: bool) -> Dialect:
    """The dialect of a file that starts with the lines of `sample`.

    Args:
        known: names that a header is expected to have, normalised as `normal_name` does.
        is_cut: whether the file goes on after the sample.
    """
    separator = _separator(sample[0]) if sample else None
    if separator is not None:
        return Dialect(separator, has_separator_line=True)
    trials = [_try(sample, Dialect(delimiter), known, is_cut) for delimiter in DELIMITERS]
    best = max(trials, key=lambda trial: trial.rank)  # the first of equals: the usual one
    bare = _try(sample, Dialect(best.dialect.delimiter, is_quoted=False), known, is_cut=False)
    return bare.dialect if _is_bare(best, bare, sample) else best.dialect


def _is_bare(quoted: _Trial, bare: _Trial, sample: Sequence[str]) -> bool:
    """Whether quotes enclose nothing: without them all rows fit, and several only begin with one.

    One quote that is never closed is a mistake in a row, and is reported as that.
    """
    if bare.share <= quoted.share or bare.share < NO_QUOTING_SHARE:
        return False
    starts = [cell for record in _parse(sample, bare.dialect) for cell in record.fields
              if cell.startswith('"')]  # fmt: skip
    num_enclosed = sum(len(cell) > 1 and cell.endswith('"') for cell in starts)
    num_open = len(starts) - num_enclosed
    return num_open >= max(MIN_OPEN, num_enclosed)


def normal_name(name: str) -> str:
    """A column's name without case, outer blanks and kind of separator."""
    return "_".join(name.strip().casefold().replace("-", " ").replace("_", " ").split())


def _separator(line: str) -> str | None:
    text = line.strip("\r\n").strip('"')
    is_named = text.lower().startswith(_SEPARATOR_LINE) and len(text) == len(_SEPARATOR_LINE) + 1
    return text[-1] if is_named and text[-1] in DELIMITERS else None


def _try(sample: Sequence[str], dialect: Dialect, known: Set[str], is_cut: bool) -> _Trial:
    records = [record for record in _parse(sample, dialect) if any(record.fields) or record.fault]
    if is_cut and len(records) > 1 and _may_be_cut(records[-1]):
        records.pop()
    header = tuple(records[0].fields) if records else ()
    fitting = sum(_num_fitting(record, len(header)) for record in records[1:])
    lines = sum(record.last_line - record.line + 1 for record in records[1:])
    num_known = len({normal_name(name) for name in header} & known)
    return _Trial(dialect, header, num_known, fitting, lines)


def _parse(sample: Iterable[str], dialect: Dialect) -> Iterable[RawRecord]:
    return parse(iter(sample), dialect.delimiter, is_quoted=dialect.is_quoted)


def _may_be_cut(record: RawRecord) -> bool:
    return record.fault is not None and record.last_line - record.line < CUT_SPAN


def _num_fitting(record: RawRecord, num_fields: int) -> int:
    if record.fault is not None or len(record.fields) != num_fields:
        return 0
    return record.last_line - record.line + 1
