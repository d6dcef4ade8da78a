"""HTTP/1.1 as uvicorn and llhttp have it, with bounds and news that a server of ours needs."""

import asyncio
from typing import Final, cast

import httptools
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

CLOSED: Final = "closed"  # in a request's state: what is to be `set` when its connection is closed
MAX_HEAD_BYTES: Final = 64 << 10  # of a request's line and headers, or of what follows its body


class _Joined:
    """A transport that sends an answer's head together with what is written right behind it."""

    def __init__(self, transport: asyncio.Transport, loop: asyncio.AbstractEventLoop) -> None:
        self._transport = transport
        self._loop = loop
        self._head: bytes | None = b""  # None: it is sent

    def write(self, data: bytes) -> None:
        """Called with the head first."""
        if self._head is None:
            self._transport.write(data)
        elif not self._head:
            self._head = data
            self._loop.call_soon(self._send)
        else:
            self._head += data
            self._send()

    def close(self) -> None:
        """Send what is held, and no more."""
        self._send()
        self._transport.close()

    def is_closing(self) -> bool:
        """Whether nothing can be written."""
        return self._transport.is_closing()

    def _send(self) -> None:
        if self._head:
            self._transport.write(self._head)
            self._head = None


class Protocol(HttpToolsProtocol):
    """HTTP that bounds heads, keeps to HTTP/1.1, and tells a request of a closed connection.

    llhttp keeps what it reads of a head, however long: here bytes are counted in which neither a
    head nor a part of a body ends. And it takes what follows a head that offers another protocol
    for that one: such an offer may be passed over (RFC 9110, section 7.8), by reading the head
    again without it.

    `receive` tells of a closed connection only after what was received before, and a stream may not
    want that yet.
    """

    _num_unread = 0  # bytes
    _is_in_head = _is_in_body = False  # of a request

    def data_received(self, data: bytes) -> None:
        """Parses what has come, unless it is a head without an end."""
        self._unset_keepalive_if_required()
        self._num_unread += len(data)
        rest = memoryview(data)
        try:
            while (offer_at := self._feed(rest)) is not None:
                rest = rest[offer_at:]
                self._feed(self._head_without_offer())
                self._num_unread = len(rest)
        except httptools.HttpParserError:
            self._refuse("Invalid HTTP request received.")
        else:
            if self._num_unread > MAX_HEAD_BYTES:
                self._refuse(f"A request's head may have {MAX_HEAD_BYTES:,} bytes.")

    def on_message_begin(self) -> None:
        """Called by the parser."""
        if self._is_in_body:  # what has come is the end of another request, too
            self._num_unread = 0
        self._is_in_head, self._is_in_body = True, False
        super().on_message_begin()

    def on_headers_complete(self) -> None:
        """Called by the parser."""
        if not self.parser.should_upgrade():
            self._num_unread = 0
            self._is_in_head, self._is_in_body = False, True
            super().on_headers_complete()
            # each write is a system call, and with Nagle's algorithm off a packet
            self.cycle.transport = cast(asyncio.Transport, _Joined(self.transport, self.loop))

    def on_body(self, body: bytes) -> None:
        """Called by the parser."""
        self._num_unread = 0
        super().on_body(body)

    def on_message_complete(self) -> None:
        """Called by the parser."""
        if not self.parser.should_upgrade():
            self._num_unread, self._is_in_body = 0, False
            super().on_message_complete()

    def connection_lost(self, exc: Exception | None) -> None:
        """Sets what the request has put into its state, if it has."""
        if self.cycle is not None:
            closed = self.cycle.scope["state"].get(CLOSED)
            if closed is not None:
                closed.set()
        super().connection_lost(exc)

    def _feed(self, data: bytes | memoryview) -> int | None:
        """Parse; where the head of a request ends that offers another protocol."""
        try:
            self.parser.feed_data(data)
        except httptools.HttpParserUpgrade as upgrade:
            offer_at: int = upgrade.args[0]
            return offer_at
        return None

    def _head_without_offer(self) -> bytes:
        """The head that was read, for another parser, which takes this one's place."""
        method = self.parser.get_method()
        if method == b"CONNECT":
            raise httptools.HttpParserInvalidMethodError("there is nothing to connect to")
        line = b"%s %s HTTP/%s\r\n" % (method, self.url, self.parser.get_http_version().encode())
        headers = (b"%s: %s\r\n" % each for each in self.headers if each[0] != b"upgrade")
        self.parser = httptools.HttpRequestParser(self)
        self._is_in_head = False
        return b"".join((line, *headers, b"\r\n"))

    def _refuse(self, reason: str) -> None:
        """Read no more; what is told of it must not be taken for another request's answer."""
        if self.transport.is_closing():
            return
        if self._is_in_body:
            is_spoken_for = self.cycle.response_started
        else:  # of a request that has no cycle: its answer comes after all others
            is_spoken_for = self.cycle is not None and not self.cycle.response_complete
        if is_spoken_for:
            self.transport.close()
        else:
            self.send_400_response(reason)
