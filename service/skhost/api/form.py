"""A multipart form whose files go to disk as they arrive."""

import shutil
import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

from anyio import to_thread
from fastapi import Request
from python_multipart.exceptions import FormParserError
from python_multipart.multipart import MultipartParser, parse_options_header

from skhost.admission import UploadedFile
from skhost.api.errors import shown
from skhost.errors import InvalidRequest, UploadTooLarge

if TYPE_CHECKING:
    from python_multipart.multipart import MultipartCallbacks

MAX_FIELD_BYTES = 64 * 1024
MAX_PARTS = 64


@dataclass(slots=True)
class Form:
    """The fields and files that arrived."""

    fields: dict[str, str] = field(default_factory=dict)
    files: dict[str, UploadedFile] = field(default_factory=dict)


@asynccontextmanager
async def receive_form(
    request: Request, folder: Path, file_names: frozenset[str], max_file_bytes: int
) -> AsyncIterator[Form]:
    """Read the request's form; its files are removed when the block ends.

    Args:
        folder: where a directory for the files is made.
        file_names: the parts that are files; all others are text.
        max_file_bytes: of each file.

    Raises:
        InvalidRequest: not a form, or one that is broken or has too many or too large fields.
        UploadTooLarge: a file beyond the limit.
    """
    boundary = _boundary(request)
    await to_thread.run_sync(lambda: folder.mkdir(parents=True, exist_ok=True))
    target = Path(await to_thread.run_sync(lambda: tempfile.mkdtemp(dir=folder)))
    try:
        reader = _Reader(target, file_names, max_file_bytes)
        yield await _read(request, boundary, reader)
    finally:
        await to_thread.run_sync(lambda: shutil.rmtree(target, ignore_errors=True))


def _boundary(request: Request) -> bytes:
    content_type = request.headers.get("content-type")
    kind, options = parse_options_header(content_type)
    if kind != b"multipart/form-data" or not options.get(b"boundary"):
        raise InvalidRequest(
            "send the file as a multipart form (curl: -F file=@FILE -F name=NAME), "
            f"got {shown(content_type)}"
        )
    return options[b"boundary"]


async def _read(request: Request, boundary: bytes, reader: "_Reader") -> Form:
    parser = MultipartParser(boundary, reader.callbacks())
    try:
        async for chunk in request.stream():
            await to_thread.run_sync(parser.write, chunk)
        parser.finalize()
    except FormParserError as error:
        raise InvalidRequest(f"the multipart form is broken: {error}") from error
    finally:
        reader.close()
    if not reader.is_complete:
        raise InvalidRequest("the multipart form ends before its last boundary; send it again")
    return reader.form


class _Reader:
    """Takes the parser's callbacks; a part at a time."""

    def __init__(self, folder: Path, file_names: frozenset[str], max_file_bytes: int) -> None:
        self.form = Form()
        self.is_complete = False
        self._folder = folder
        self._file_names = file_names
        self._max_file_bytes = max_file_bytes
        self._header = (bytearray(), bytearray())
        self._disposition: dict[bytes, bytes] = {}
        self._text = bytearray()
        self._file: BinaryIO | None = None
        self._num_parts = 0
        self._num_bytes = 0

    def callbacks(self) -> "MultipartCallbacks":
        return {
            "on_part_begin": self._begin_part,
            "on_header_field": lambda data, start, end: self._header[0].extend(data[start:end]),
            "on_header_value": lambda data, start, end: self._header[1].extend(data[start:end]),
            "on_header_end": self._end_header,
            "on_headers_finished": self._open_part,
            "on_part_data": self._take,
            "on_part_end": self._end_part,
            "on_end": self._end,
        }

    def close(self) -> None:
        if self._file is not None:
            self._file.close()

    def _begin_part(self) -> None:
        self._num_parts += 1
        if self._num_parts > MAX_PARTS:
            raise InvalidRequest(f"the form has more than {MAX_PARTS} parts")
        self._disposition, self._text, self._num_bytes = {}, bytearray(), 0

    def _end_header(self) -> None:
        name, value = (bytes(part) for part in self._header)
        if name.lower() == b"content-disposition":
            self._disposition = parse_options_header(value)[1]
        self._header = (bytearray(), bytearray())

    @property
    def _name(self) -> str:
        return self._disposition.get(b"name", b"").decode("utf-8", "replace")

    def _open_part(self) -> None:
        name = self._name
        if not name:
            raise InvalidRequest("a part of the form has no name")
        if name in self.form.fields or name in self.form.files:
            raise InvalidRequest(f"the form has {shown(name)} twice")
        if name in self._file_names:
            self._file = (self._folder / name).open("wb")
        elif b"filename" in self._disposition:
            expected = ", ".join(sorted(self._file_names))
            raise InvalidRequest(f"the form has a file {shown(name)}; the files are: {expected}")

    def _take(self, data: bytes, start: int, end: int) -> None:
        self._num_bytes += end - start
        if self._file is None:
            if self._num_bytes > MAX_FIELD_BYTES:
                raise InvalidRequest(f"field {self._name} is longer than {MAX_FIELD_BYTES:,} bytes")
            self._text.extend(data[start:end])
            return
        if self._num_bytes > self._max_file_bytes:
            limit = f"{self._max_file_bytes:,}"
            raise UploadTooLarge(f"the {self._name} may have {limit} bytes; more arrived")
        self._file.write(data[start:end])

    def _end_part(self) -> None:
        if self._file is None:
            self.form.fields[self._name] = self._field_text()
            return
        self._file.close()
        filename = self._disposition.get(b"filename", b"").decode("utf-8", "replace")
        self.form.files[self._name] = UploadedFile(
            self._folder / self._name, filename or self._name, self._num_bytes
        )
        self._file = None

    def _field_text(self) -> str:
        try:
            return self._text.decode("utf-8")
        except UnicodeDecodeError as error:
            raise InvalidRequest(f"field {shown(self._name)} is not UTF-8") from error

    def _end(self) -> None:
        self.is_complete = True
