"""From the lines of a stream to rows, some at a time: each an input, or the error in its place."""

from collections.abc import AsyncIterator, Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any

from pydantic import TypeAdapter, ValidationError

from skhost.api.arriving import Arriving
from skhost.api.errors import problems_of
from skhost.api.inputs import size_of, too_long
from skhost.api.lines import Line, LineSplitter
from skhost.api.schemas import ClassifyRow, refuse_unknown
from skhost.errors import ServiceError
from skhost.settings import Settings
from sktuning.data import TextInput

PART_WEIGHT = 64
CHARS_A_WEIGHT = 2048  # a row weighs 1, and 1 more for so many of its bytes

Json = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Row:
    """One line of the request."""

    line: int
    id: str | int | None = None
    input: TextInput | None = None
    error: Json | None = None  # where there is no input
    weight: int = 1


@dataclass(frozen=True, slots=True)
class RowPart:
    """Some consecutive rows, classified together."""

    rows: list[Row] = field(default_factory=list)
    weight: int = 0


class Rows:
    """The rows of a body that arrives; `error` says why they ended before the body did."""

    def __init__(self, body: Arriving, settings: Settings) -> None:
        self._body = body
        self._lines = LineSplitter(settings.max_body_bytes)
        self._reader = RowReader(settings)
        self.error: ServiceError | None = None

    async def parts(self) -> AsyncIterator[RowPart]:
        """What has arrived, at once and in parts of limited weight: nothing waits for company."""
        while (piece := await self._body.next()) is not None:
            if isinstance(piece, ServiceError):
                self.error = piece
                return
            for part in self._cut(self._lines.feed(piece)):
                if (error := self._body.stopped()) is not None:
                    self.error = error
                    return
                yield part
        for part in self._cut(self._lines.close()):
            yield part

    def _cut(self, lines: Iterable[Line]) -> Iterator[RowPart]:
        rows: list[Row] = []
        weight = 0
        for line in lines:
            row = self._reader.read(line)
            rows.append(row)
            weight += row.weight
            if weight >= PART_WEIGHT:
                yield RowPart(rows, weight)
                rows, weight = [], 0
        if rows:
            yield RowPart(rows, weight)


class RowReader:
    """Lines to rows; a line that cannot be read becomes a row with an error."""

    def __init__(self, settings: Settings) -> None:
        self._max_bytes = settings.max_body_bytes
        self._max_chars = settings.max_text_chars
        self._schema = TypeAdapter(ClassifyRow)

    def read(self, line: Line) -> Row:
        """The row on a line."""
        if line.data is None:
            message = f"the line is longer than {self._max_bytes:,} bytes"
            return Row(line.number, error=_error("input_too_long", message))
        weight = 1 + len(line.data) // CHARS_A_WEIGHT
        try:
            row = self._schema.validate_json(line.data)
            given = row.input()
        except ValidationError as error:
            return Row(line.number, error=_error("invalid_input", _problem(error)), weight=weight)
        except ValueError as error:
            found = _error("invalid_input", str(error))
            return Row(line.number, row.id, error=found, weight=weight)
        size = size_of(given)
        if size > self._max_chars:
            return Row(line.number, row.id, error=too_long(size, self._max_chars), weight=weight)
        return Row(line.number, row.id, given, weight=weight)


def _problem(error: ValidationError) -> str:
    first = error.errors(include_url=False)[0]
    if first["type"] == "json_invalid":
        return f"the line is not valid JSON: {first['ctx']['error']}"
    if first["type"] == "extra_forbidden":
        name = str(first["loc"][0])
        try:
            refuse_unknown({name: None}, list(ClassifyRow.model_fields))
        except ValueError as unknown:
            return str(unknown)
    if not first["loc"]:
        return 'the line must be a JSON object, as {"text": "…"}'
    return problems_of([{**first, "loc": ("line", *first["loc"])}])[0]


def _error(code: str, message: str) -> Json:
    return {"error": {"code": code, "message": message}}
