"""Runs the application under uvicorn, with our own drain before uvicorn's shutdown.

uvicorn closes its listener as soon as it is told to stop, so a request that arrives then is
refused without an answer. Here the listener stays open while accepted work finishes, and what
arrives meanwhile is answered 503 with `Retry-After`.
"""

import logging
import socket
import sys
from types import FrameType

import uvicorn
from fastapi import FastAPI
from uvicorn.protocols.http.h11_impl import H11Protocol

from skhost.drain import Drain

log = logging.getLogger(__name__)

BACKLOG = 2048
CLOSED = "closed"  # in a request's state: what is to be `set` when its connection is closed
SWITCH_S = 0.0005  # the device's thread takes the interpreter at every operation, and may not wait
STREAM_GRACE_S = 3  # after the drain: event streams that a client keeps open are cut


class CannotListen(Exception):
    """The address cannot be listened on."""


class CannotStart(Exception):
    """The application did not start."""


class TellingProtocol(H11Protocol):
    """HTTP that tells a request when its connection is closed.

    `receive` says so only after what was received before, and a stream may not want that yet.
    """

    def connection_lost(self, exc: Exception | None) -> None:
        """Sets what the request has put into its state, if it has."""
        if self.cycle is not None:
            closed = self.cycle.scope["state"].get(CLOSED)
            if closed is not None:
                closed.set()
        super().connection_lost(exc)


class DrainingServer(uvicorn.Server):
    """A uvicorn server whose first signal begins the drain; the second stops it at once."""

    def __init__(self, config: uvicorn.Config, drain: Drain) -> None:
        super().__init__(config)
        self._drain = drain

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        """Called in the main thread by the signal; nothing is re-raised when serving ends."""
        if self._drain.is_draining:
            self.should_exit = True
            self.force_exit = True
        else:
            log.info("draining: %d requests are being answered", self._drain.active)
            self._drain.begin()

    async def on_tick(self, counter: int) -> bool:
        """Ten times a second: whether to stop."""
        if self._drain.is_done:
            self.should_exit = True  # event streams end when they see this
        return await super().on_tick(counter)


def bind(host: str, port: int) -> socket.socket:
    """A listening address, taken before anything expensive is started; port 0: a free one.

    Raises:
        CannotListen: the port is taken or the address is not this machine's.
    """
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listener = socket.socket(family, socket.SOCK_STREAM)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind((host, port))
        listener.listen(BACKLOG)
    except OSError as error:
        listener.close()
        raise CannotListen(
            f"cannot listen on {host}:{port}: {error.strerror or error}; "
            "choose another with --port, or stop what listens there"
        ) from error
    listener.set_inheritable(True)
    return listener


def url_of(listener: socket.socket) -> str:
    """The URL at which a listener is reached from this machine."""
    host, port = listener.getsockname()[:2]
    host = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(host, host)
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"


def build_server(app: FastAPI, drain: Drain) -> DrainingServer:
    """The server for an application; run it with a listener of `bind`."""
    config = uvicorn.Config(
        app,
        http=TellingProtocol,
        log_config=None,  # the command line has configured logging
        access_log=False,  # one line a request comes from the envelope
        server_header=False,
        timeout_graceful_shutdown=STREAM_GRACE_S,
        timeout_keep_alive=30,
        backlog=BACKLOG,
    )
    return DrainingServer(config, drain)


def serve(app: FastAPI, listener: socket.socket) -> None:
    """Serve until a signal.

    Raises:
        CannotStart: the application did not start.
    """
    server = build_server(app, app.state.drain)
    sys.setswitchinterval(SWITCH_S)
    try:
        server.run(sockets=[listener])
    except SystemExit as error:  # uvicorn's way to say that the start failed
        reason = app.state.failure or "the log above says why"
        raise CannotStart(f"the server did not start: {reason}") from error
