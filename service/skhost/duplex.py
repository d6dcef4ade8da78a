"""A request that is sent while its answer is read; httpx would send all of it first."""

import http.client
import socket
import ssl
import threading
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from urllib.parse import urlsplit

JOIN_S = 1.0  # a sender that waits for its source is left behind


@contextmanager
def exchange(
    url: str, headers: Mapping[str, str], pieces: Iterable[bytes], timeout_s: float
) -> Iterator[http.client.HTTPResponse]:
    """POST the pieces, in chunks, on a thread; the answer, which can be read meanwhile.

    Raises:
        OSError, http.client.HTTPException: the connection could not be made, or broke.
        Whatever `pieces` raised: the request was broken off then.
    """
    connection = _connection(url, timeout_s)
    sender = _Sender(connection, pieces)
    try:
        parts = urlsplit(url)
        connection.putrequest("POST", f"{parts.path}?{parts.query}", skip_accept_encoding=True)
        for name, value in {**headers, "Transfer-Encoding": "chunked"}.items():
            connection.putheader(name, value)
        connection.endheaders()
        sender.start()
        with connection.getresponse() as response:
            yield response
    except (OSError, http.client.HTTPException):
        if sender.failure is not None:
            raise sender.failure from None
        raise
    finally:
        sender.stop()
        connection.close()
    if sender.failure is not None:
        raise sender.failure


def _connection(url: str, timeout_s: float) -> http.client.HTTPConnection:
    parts = urlsplit(url)
    if parts.scheme == "https":
        context = ssl.create_default_context()
        return http.client.HTTPSConnection(parts.netloc, timeout=timeout_s, context=context)
    return http.client.HTTPConnection(parts.netloc, timeout=timeout_s)


class _Sender:
    """Sends a body; what its source raises is kept in `failure`."""

    def __init__(self, connection: http.client.HTTPConnection, pieces: Iterable[bytes]) -> None:
        self._connection = connection
        self._pieces = pieces
        self._socket: socket.socket | None = None
        self._thread = threading.Thread(target=self._send, name="skhost-sender", daemon=True)
        self.failure: Exception | None = None

    def start(self) -> None:
        self._socket = self._connection.sock
        self._thread.start()

    def stop(self) -> None:
        """What has not been sent will not be."""
        if self._socket is not None:
            self._break_off()
            self._thread.join(JOIN_S)

    def _send(self) -> None:
        try:
            for piece in self._pieces:
                if not self._write(b"%x\r\n%s\r\n" % (len(piece), piece)):
                    return
            self._write(b"0\r\n\r\n")
        except Exception as error:
            self.failure = error
            self._break_off()

    def _write(self, data: bytes) -> bool:
        """False when the server takes no more: its answer says why."""
        assert self._socket is not None
        try:
            self._socket.sendall(data)
        except OSError:
            return False
        return True

    def _break_off(self) -> None:
        assert self._socket is not None
        with suppress(OSError):
            self._socket.shutdown(socket.SHUT_RDWR)
