"""A client that sends a request's lines and takes its answers at the same time, by hand."""

import http.client
import json
import socket
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from types import MappingProxyType
from typing import Any
from urllib.parse import urlsplit


class Conversation:
    """A request to `/classify/stream` that has begun."""

    def __init__(self, connection: http.client.HTTPConnection) -> None:
        self._connection = connection
        self._answer: http.client.HTTPResponse | None = None

    @property
    def socket(self) -> socket.socket:
        """The connection itself."""
        assert self._connection.sock is not None
        return self._connection.sock

    @property
    def answer(self) -> http.client.HTTPResponse:
        """Waits for the answer to begin."""
        if self._answer is None:
            self._answer = self._connection.getresponse()
        return self._answer

    def send(self, *rows: Any) -> None:
        """Rows as JSON, bytes as they are."""
        lines = [row if isinstance(row, bytes) else json.dumps(row).encode() for row in rows]
        data = b"".join(line + b"\n" for line in lines)
        self._connection.send(b"%x\r\n%s\r\n" % (len(data), data))

    def finish(self) -> None:
        """There are no more rows."""
        self._connection.send(b"0\r\n\r\n")

    def take(self) -> Any:
        """The next line of the answer."""
        return json.loads(self.answer.readline())

    def rest(self) -> list[Any]:
        """All lines that are left."""
        return [json.loads(line) for line in self.answer]


@contextmanager
def conversation(
    url: str,
    adapter: str = "mood",
    query: str = "",
    timeout_s: float = 30.0,
    headers: Mapping[str, str] = MappingProxyType({}),
) -> Iterator[Conversation]:
    """Begin a stream; the connection is closed at the end."""
    connection = http.client.HTTPConnection(urlsplit(url).netloc, timeout=timeout_s)
    connection.putrequest("POST", f"/classify/stream?adapter={adapter}{query}")
    connection.putheader("Transfer-Encoding", "chunked")
    connection.putheader("Content-Type", "application/x-ndjson")
    for name, value in headers.items():
        connection.putheader(name, value)
    connection.endheaders()
    talk = Conversation(connection)
    try:
        yield talk
    finally:
        if talk._answer is not None:
            talk._answer.close()
        connection.close()
