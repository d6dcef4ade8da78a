"""Runs the application under uvicorn, with our own drain before uvicorn's shutdown.

uvicorn closes its listener as soon as it is told to stop, so a request that arrives then is
refused without an answer. Here the listener stays open while accepted work finishes, and what
arrives meanwhile is answered 503 with `Retry-After`. Before that, for as long as is set, all is
answered and clients are told to connect elsewhere.
"""

import gc
import logging
import socket
import sys
import time
from collections.abc import Awaitable, Callable
from types import FrameType
from typing import TYPE_CHECKING

import uvicorn
from fastapi import FastAPI

from skhost.drain import Drain
from skhost.protocol import Protocol

if TYPE_CHECKING:  # the supervisor listens, too, and has no use for torch
    from skhost.services import Services

log = logging.getLogger(__name__)

BACKLOG = 2048
LINGER_S = 1.0  # after the drain, for what was sent on connections that are open
SWITCH_S = 0.0005  # the device's thread takes the interpreter at every operation, and may not wait
YOUNG_OBJECTS = 10_000  # between collections: those of some tens of requests
STREAM_GRACE_S = 3  # after the drain: event streams that a client keeps open are cut


class CannotListen(Exception):
    """The address cannot be listened on."""


class CannotStart(Exception):
    """The application did not start."""


class DeviceFailed(Exception):
    """The application ended because its device, or the base in its memory, cannot be used."""


class DrainingServer(uvicorn.Server):
    """A uvicorn server whose first signal begins the drain; the second stops it at once.

    Args:
        failure: says why this process cannot go on, if so: then it ends.
        give_up: has whatever waits for the device fail.
    """

    def __init__(
        self,
        config: uvicorn.Config,
        drain: Drain,
        failure: Callable[[], str | None],
        give_up: Callable[[], Awaitable[None]],
    ) -> None:
        super().__init__(config)
        self._drain = drain
        self._look_for_failure = failure
        self._give_up = give_up
        self._thresholds = gc.get_threshold()
        self._deaf_since: float | None = None  # monotonic: when it stopped listening
        self.failure: str | None = None  # why it ended

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        """Called in the main thread by the signal; nothing is re-raised when serving ends."""
        if self._drain.is_leaving:
            self.should_exit = True
            self.force_exit = True
        else:
            log.info("stopping: %d requests are being answered", self._drain.active)
            self._drain.begin()

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Start the application, whose objects the garbage collector need not look through again.

        There are half a million, and nothing else is done while it does.
        """
        await super().startup(sockets)
        gc.collect()
        gc.freeze()
        gc.set_threshold(YOUNG_OBJECTS, *self._thresholds[1:])

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Stop the application, and leave the collector as it was."""
        gc.set_threshold(*self._thresholds)
        gc.unfreeze()
        await super().shutdown(sockets)

    async def on_tick(self, counter: int) -> bool:
        """Ten times a second: whether to stop."""
        if self.failure is None and (reason := self._look_for_failure()) is not None:
            log.critical("this server ends: %s", reason)
            self.failure = reason
            self._drain.begin(at_once=True)
            await self._give_up()
        if self._drain.is_done:
            self._leave()
        return await super().on_tick(counter)

    def _leave(self) -> None:
        """Accept no more connections, and stop once the open ones are gone or had their time.

        A client may have sent a request on one of them, and is told to send it elsewhere.
        """
        if self._deaf_since is None:
            self._deaf_since = time.monotonic()
            for server in self.servers:
                server.close()
        lingers_s = time.monotonic() - self._deaf_since
        if lingers_s >= LINGER_S or not self.server_state.connections:
            self.should_exit = True  # event streams end when they see this


def bind(host: str, port: int) -> socket.socket:
    """A listening address, taken before anything expensive is started; port 0: a free one.

    Raises:
        CannotListen: the port is taken or the address is not this machine's.
    """
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listener = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    # connections inherit it: an answer's body would wait until its head is acknowledged, 40 ms
    listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
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
    host, port = address_of(listener)
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"


def address_of(listener: socket.socket) -> tuple[str, int]:
    """Host and port at which a listener is reached from this machine."""
    host, port = listener.getsockname()[:2]
    return {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(host, host), port


def build_server(app: FastAPI, drain: Drain) -> DrainingServer:
    """The server for an application; run it with a listener of `bind`."""
    config = uvicorn.Config(
        app,
        http=Protocol,
        log_config=None,  # the command line has configured logging
        access_log=False,  # one line a request comes from the envelope
        server_header=False,
        timeout_graceful_shutdown=STREAM_GRACE_S,
        timeout_keep_alive=30,
        backlog=BACKLOG,
    )
    return DrainingServer(config, drain, lambda: _failure(app), lambda: _give_up(app))


def serve(app: FastAPI, listener: socket.socket) -> None:
    """Serve until a signal.

    Raises:
        CannotStart: the application did not start.
        DeviceFailed: it cannot go on; a thread may be left that will never end.
    """
    from skhost.runner import compute_alone

    server = build_server(app, app.state.drain)
    sys.setswitchinterval(SWITCH_S)
    compute_alone()  # before a thread of this process loads the base
    try:
        server.run(sockets=[listener])
    except SystemExit as error:  # uvicorn's way to say that the start failed
        reason = app.state.failure or "the log above says why"
        raise CannotStart(f"the server did not start: {reason}") from error
    if (failure := server.failure or _left_behind(app)) is not None:
        raise DeviceFailed(failure)


def _failure(app: FastAPI) -> str | None:
    """Why a running application cannot go on."""
    services: Services | None = getattr(app.state, "services", None)
    return None if services is None else services.engine.readiness.failure


async def _give_up(app: FastAPI) -> None:
    """Tell whoever waits for a batch that none will come."""
    await app.state.services.engine.batcher.close()


def _left_behind(app: FastAPI) -> str | None:
    """What of an application that has ended would keep its process alive."""
    services: Services | None = getattr(app.state, "services", None)
    busy_s = 0.0 if services is None else services.engine.runner.busy_s
    return f"the device thread has not ended for {busy_s:.0f} s" if busy_s else None
