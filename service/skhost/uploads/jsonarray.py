"""A JSON array of objects, read element by element: the file is never in memory as a whole."""

import json
from collections.abc import Iterator, Set
from io import TextIOWrapper
from itertools import islice
from typing import BinaryIO

from skhost.uploads.jsonlines import PEEK_ROWS
from skhost.uploads.jsonvalue import checked_object, make_decoder
from skhost.uploads.keys_found import keys_found
from skhost.uploads.problems import BadCell, Findings
from skhost.uploads.records import Record
from skhost.uploads.view import view_of

CHUNK_CHARS = 1 << 16
_BLANKS = " \t\r\n"
_NEAR_END = 16  # characters; an error this close to the end of what was read may be its end


class JsonArray:
    """A JSON array; its columns are the keys of its first thousand objects."""

    is_text = False

    def __init__(self, file: BinaryIO, codec: str, findings: Findings) -> None:
        self._file = file
        self._codec = codec
        self._findings = findings
        aside = Findings(findings.file, findings.limits)
        aside.unit = "record"
        self.columns = keys_found(islice(self._read(aside, None), PEEK_ROWS), findings)

    def records(self, wanted: Set[str]) -> Iterator[Record]:
        """Every element."""
        return self._read(self._findings, wanted)

    def _read(self, findings: Findings, wanted: Set[str] | None) -> Iterator[Record]:
        depth = findings.limits.max_depth
        with TextIOWrapper(view_of(self._file), encoding=self._codec, newline="") as text:
            for number, (value, source) in enumerate(_Elements(text, findings), 1):
                try:
                    cells = checked_object(value, source, depth)
                except BadCell as bad:
                    findings.bad_row(bad.code, bad.message, number)
                    yield Record(number, None)
                else:
                    kept = cells.keys() if wanted is None else wanted & cells.keys()
                    yield Record(number, {name: cells[name] for name in kept})


class _Elements:
    """Iterates over the elements of an array; each comes with the text it was parsed from."""

    def __init__(self, text: TextIOWrapper, findings: Findings) -> None:
        self._text = text
        self._findings = findings
        self._decoder = make_decoder()
        self._buffer = ""
        self._at = 0  # position in the buffer
        self._line = 1  # of the buffer's start
        self._number = 0
        self._is_ended = False

    def __iter__(self) -> Iterator[tuple[object, str]]:
        self._expect("[")
        if self._peek() == "]":
            return self._finish()
        while True:
            self._number += 1
            yield self._element()
            if self._peek() == "]":
                return self._finish()
            self._expect(",")

    def _element(self) -> tuple[object, str]:
        self._peek()
        while True:
            try:
                value, end = self._decoder.raw_decode(self._buffer, self._at)
            except json.JSONDecodeError as error:
                if self._is_ended or not self._may_go_on(error):
                    raise self._refusal(error.msg, error.pos) from error
            except RecursionError as error:
                raise self._refusal("values are nested too deep", self._at) from error
            except ValueError as error:
                raise self._refusal("a number is too long", self._at) from error
            else:
                if end < len(self._buffer) or self._is_ended:
                    start, self._at = self._at, end
                    return value, self._buffer[start:end]
            self._grow()

    def _may_go_on(self, error: json.JSONDecodeError) -> bool:
        """Whether the error may only be that the rest of the element has not been read."""
        is_open = error.msg.startswith(("Unterminated string", "Invalid \\"))
        return is_open or error.pos >= len(self._buffer) - _NEAR_END

    def _grow(self) -> None:
        """Drops what was used and reads as much again as is held, so that retries stay few."""
        self._line += self._buffer.count("\n", 0, self._at)
        self._buffer = self._buffer[self._at :]
        self._at = 0
        limit = self._findings.limits.max_line_chars
        if len(self._buffer) > limit:
            raise self._refusal(f"an element is longer than {limit:,} characters", 0)
        more = self._text.read(max(CHUNK_CHARS, len(self._buffer)))
        self._is_ended = not more
        self._buffer += more

    def _peek(self) -> str:
        """The next character that is not blank; empty at the end."""
        while True:
            while self._at < len(self._buffer) and self._buffer[self._at] in _BLANKS:
                self._at += 1
            if self._at < len(self._buffer) or self._is_ended:
                return self._buffer[self._at : self._at + 1]
            self._grow()

    def _expect(self, char: str) -> None:
        if self._peek() != char:
            missing = "the array is not closed" if self._is_ended else f"expected {char!r}"
            raise self._refusal(missing, self._at)
        self._at += 1

    def _finish(self) -> None:
        self._at += 1
        if self._peek():
            reason = "something follows the array; send one array of objects, or one object a line"
            raise self._refusal(reason, self._at)

    def _refusal(self, reason: str, at: int) -> Exception:
        line = self._line + self._buffer.count("\n", 0, at)
        message = f"not a valid JSON array: {reason} (line {line}, in record {self._number})"
        return self._findings.refusal("invalid_json", message, where=self._number or None)
