"""JSON Lines: one object a physical line."""

from collections.abc import Iterator, Set
from itertools import islice
from typing import BinaryIO

from skhost.uploads.jsonvalue import make_decoder, parse_object
from skhost.uploads.keys_found import keys_found
from skhost.uploads.lines import read_lines
from skhost.uploads.problems import BadCell, Findings
from skhost.uploads.records import Record

PEEK_ROWS = 1000
_NO_KEYS: frozenset[str] = frozenset()


class JsonLines:
    """A JSON Lines file; its columns are the keys of its first thousand rows."""

    is_text = False

    def __init__(self, file: BinaryIO, codec: str, findings: Findings) -> None:
        self._file = file
        self._codec = codec
        self._findings = findings
        self._refuse_one_object()
        aside = Findings(findings.file, findings.limits)  # what is bad is noted on the real pass
        self.columns = keys_found(islice(self._read(aside, None), PEEK_ROWS), findings)

    def records(self, wanted: Set[str]) -> Iterator[Record]:
        """Every line but blank ones."""
        return self._read(self._findings, wanted)

    def _read(self, findings: Findings, wanted: Set[str] | None) -> Iterator[Record]:
        limits, decoder, num_blank = findings.limits, make_decoder(), 0
        lines = read_lines(self._file, self._codec, limits.max_line_chars)
        for number, line in enumerate(lines, 1):
            if len(line) > limits.max_line_chars:
                message = f"the line is longer than {limits.max_line_chars:,} characters"
                findings.bad_row("line_too_long", message, number)
                yield Record(number, None)
            elif text := line.strip():
                try:
                    cells = parse_object(text, decoder, limits.max_depth)
                    yield Record(number, _only(cells, wanted))
                except BadCell as bad:
                    findings.bad_row(bad.code, bad.message, number)
                    yield Record(number, None)
            else:
                num_blank += 1
        if num_blank:
            findings.warn("blank_lines", f"{num_blank:,} blank lines passed over", count=num_blank)

    def _refuse_one_object(self) -> None:
        """A pretty-printed object would otherwise give an error for each of its lines."""
        limit = self._findings.limits.max_line_chars
        lines = read_lines(self._file, self._codec, limit)
        first = next((text for line in lines if (text := line.strip())), "")
        second = next((text for line in lines if (text := line.strip())), "")
        if first == "{" or (first.startswith("{") and first[-1:] in "{[," and second[:1] != "{"):
            message = (
                "a JSON object over many lines; send one object a line, or an array of objects"
            )
            raise self._findings.refusal("one_object", message)


def _only(cells: dict[str, object], wanted: Set[str] | None) -> dict[str, object]:
    """The wanted cells, so that the others' memory is free at once."""
    if wanted is None:
        return cells
    return {name: value for name, value in cells.items() if name in wanted}
