"""Delimited records with their physical lines, and what is wrong with their quotes."""

import csv
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Literal

from skhost.uploads.limits import CSV_FIELD_CHARS

Fault = tuple[str, str]  # code, message


@dataclass(frozen=True, slots=True)
class RawRecord:
    """Fields as written, from `line` to `last_line`."""

    line: int
    last_line: int
    fields: Sequence[str]
    fault: Fault | None = None


@dataclass(slots=True)
class _Feed:
    """Hands lines to the csv reader and keeps those of the record being read."""

    lines: Iterator[str]
    number: int = 0
    pulled: list[str] = field(default_factory=list)

    def __iter__(self) -> Iterator[str]:
        return self

    def __next__(self) -> str:
        line = next(self.lines)
        self.number += 1
        self.pulled.append(line)
        return line


def parse(
    lines: Iterator[str], delimiter: str, *, is_quoted: bool, max_line_chars: int | None = None
) -> Iterator[RawRecord]:
    """Every record, blank ones included (their fields are empty)."""
    feed = _Feed(lines)
    quoting: Literal[0, 3] = csv.QUOTE_MINIMAL if is_quoted else csv.QUOTE_NONE
    reader = csv.reader(feed, delimiter=delimiter, quoting=quoting)
    while True:
        start = feed.number + 1
        feed.pulled.clear()
        fields, fault = [], None
        try:
            fields = next(reader)
        except StopIteration:
            return
        except csv.Error:
            fault = _too_long(start, feed.number)
        if fault is None and max_line_chars and any(len(x) > max_line_chars for x in feed.pulled):
            fault = ("line_too_long", f"the line is longer than {max_line_chars:,} characters")
        if fault is None and is_quoted:
            fault = _quote_fault(feed.pulled, delimiter, fields, start, feed.number)
        yield RawRecord(start, feed.number, fields, fault)


def _too_long(start: int, last: int) -> Fault:
    span = f" (everything to line {last} was taken into it)" if last > start else ""
    reason = "it is too long, or a quote in it is never closed"
    return "field_too_long", f"a field has over {CSV_FIELD_CHARS:,} characters{span}: {reason}"


def _quote_fault(
    pulled: Sequence[str], delimiter: str, fields: Sequence[str], start: int, last: int
) -> Fault | None:
    if not any('"' in line for line in pulled):
        return None
    try:
        list(csv.reader(pulled, delimiter=delimiter, strict=True))
    except csv.Error as error:
        if "end of data" in str(error):
            span = f"; it takes in everything to line {last}" if last > start else ""
            return "unclosed_quote", f"a quote opened on line {start} is never closed{span}"
        return "quote", "text after a closing quote; write quotes inside a text twice"
    if any(f'{delimiter} "' in line or line.startswith(" ") or "  " in line for line in pulled):
        return _blank_before_quote(pulled, delimiter, fields)
    return None


def _blank_before_quote(
    pulled: Sequence[str], delimiter: str, fields: Sequence[str]
) -> Fault | None:
    """A quote after a blank quotes nothing; skipping blanks shows whether it was meant to."""
    skipped = next(csv.reader(pulled, delimiter=delimiter, skipinitialspace=True))
    pairs = zip(fields, skipped, strict=False)
    is_same = len(fields) == len(skipped) and all(b in (a, a.lstrip(" ")) for a, b in pairs)
    if is_same:
        return None
    return "blank_before_quote", "a blank before an opening quote, so it quotes nothing; remove it"
