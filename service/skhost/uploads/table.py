"""Rows with their meaning: what to classify, and the target as it was found."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from skhost.uploads.cells import words_of
from skhost.uploads.columns import Columns
from skhost.uploads.problems import BadCell, Findings
from skhost.uploads.records import MISSING, Record, Source
from skhost.uploads.texts import checked_text, has_controls, normal_text
from sktuning.data import TextInput

RowId = tuple[str, str]  # kind and value: the number 5 is not the text "5"


@dataclass(frozen=True, slots=True)
class Row:
    """One usable input. `key` is the same for inputs that are the same text."""

    where: int
    input: TextInput
    key: str
    target: object  # as found, not checked yet
    id: RowId | None
    split: object


def read_rows(source: Source, columns: Columns, findings: Findings) -> list[Row]:
    """All rows whose input can be used; the others are noted.

    Raises:
        UploadRefused: the file cannot be read on, or has too many rows.
    """
    wanted = frozenset(columns.roles().values())
    reader = _RowReader(columns, findings, is_text=source.is_text)
    rows = [row for record in _counted(source.records(wanted), findings)
            if (row := reader.read(record)) is not None]  # fmt: skip
    if not findings.num_rows:
        raise findings.refusal("no_rows", "there are no rows, only a header or an empty list")
    reader.report()
    return rows


def _counted(records: Iterator[Record], findings: Findings) -> Iterator[Record]:
    limit = findings.limits.max_rows
    for record in records:
        if findings.num_rows == limit:
            raise findings.refusal("too_many_rows", f"more than {limit:,} rows, the limit")
        findings.num_rows += 1
        yield record


class _RowReader:
    def __init__(self, columns: Columns, findings: Findings, *, is_text: bool) -> None:
        self._columns = columns
        self._findings = findings
        self._is_text = is_text
        self._controls: list[int] = []
        self._replaced: list[int] = []

    def read(self, record: Record) -> Row | None:
        if record.cells is None:
            return None
        cells = record.cells
        try:
            item = self._words(cells) if self._columns.tokens else self._text(cells)
        except BadCell as bad:
            column = bad.column or self._columns.tokens
            self._findings.bad_row(bad.code, bad.message, record.where, column)
            return None
        target = cells.get(self._columns.target, MISSING)
        split = cells.get(self._columns.split) if self._columns.split else None
        key = self._key(item, record.where)
        return Row(record.where, item, key, target, self._id(cells), split)

    def report(self) -> None:
        """Warns of what was kept although it looks wrong."""
        for places, code, what in (
            (self._controls, "control_characters", "control characters"),
            (self._replaced, "replacement_characters", "U+FFFD, left by a wrong decoding before"),
        ):
            if places:
                shown = self._findings.places(places)
                message = f"texts with {what}, kept as they are: {shown}"
                self._findings.warn(code, message, count=len(places))

    def _text(self, cells: Mapping[str, object]) -> TextInput:
        columns = self._columns
        text = self._one_text(cells, columns.text or "", "text")
        if columns.text_pair is None:
            return TextInput(text)
        return TextInput(text, self._one_text(cells, columns.text_pair, "text_pair"))

    def _one_text(self, cells: Mapping[str, object], column: str, name: str) -> str:
        try:
            value = cells.get(column, MISSING)
            return checked_text(value, name, self._findings.limits.max_text_chars)
        except BadCell as bad:
            bad.column = column
            raise

    def _words(self, cells: Mapping[str, object]) -> TextInput:
        value = cells.get(self._columns.tokens or "", MISSING)
        limits = self._findings.limits
        return TextInput(tokens=words_of(value, limits.max_text_chars, is_text=self._is_text))

    def _key(self, item: TextInput, where: int) -> str:
        parts = item.tokens or (item.text, item.text_pair or "")
        whole = "\n".join(parts)
        if has_controls(whole):
            self._controls.append(where)
        if "\ufffd" in whole:
            self._replaced.append(where)
        return "\n".join(normal_text(part) for part in parts)

    def _id(self, cells: Mapping[str, object]) -> RowId | None:
        value = cells.get(self._columns.id) if self._columns.id else None
        if value is None or value == "":
            return None
        return type(value).__name__, str(value)
