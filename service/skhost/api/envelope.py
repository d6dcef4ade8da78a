"""What every request gets: an id, its timings, one log line, and a body whatever goes wrong."""

import asyncio
import logging
import re
import time
import uuid
from collections.abc import Callable
from contextlib import suppress

from starlette.datastructures import Headers, MutableHeaders
from starlette.requests import ClientDisconnect
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from skhost.api.errors import error_response, service_response
from skhost.drain import RETRY_AFTER_S, Drain
from skhost.errors import Draining

log = logging.getLogger(__name__)

_REQUEST_ID = re.compile(r"[A-Za-z0-9._:-]{1,128}")
_ANSWERED_WHILE_DRAINING = frozenset({"/livez", "/readyz", "/metrics", "/info"})
_QUIET = frozenset({"/livez", "/readyz", "/metrics"})  # probes would fill the log
READ_AWAY_BYTES = 1 << 20  # of a request that is refused unread
READ_AWAY_S = 1.0
CLIENT_LEFT = 499  # in the log and the metrics: nobody was there to answer

# Called with (route template, status, seconds) once a request has been answered.
Observe = Callable[[str, int, float], None]


class Envelope:
    """ASGI middleware around the whole application."""

    def __init__(self, app: ASGIApp, *, drain: Drain, observe: Observe | None = None) -> None:
        self._app = app
        self._drain = drain
        self._observe = observe

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, _without_known_traceback(scope, send))
            return
        exchange = _Exchange(scope, send)
        if self._drain.is_draining and scope["path"] not in _ANSWERED_WHILE_DRAINING:
            await exchange.refuse(receive)
        else:
            await self._serve(exchange, receive)
        self._report(exchange)

    async def _serve(self, exchange: "_Exchange", receive: Receive) -> None:
        self._drain.active += 1
        try:
            await self._app(exchange.scope, receive, exchange.send)
        except ClientDisconnect:
            log.debug("request %s: the client left", exchange.request_id)
        except Exception:
            log.exception("request %s failed", exchange.request_id)
            if exchange.has_begun:  # all that is left is to break the connection
                raise
            await exchange.fail(receive)
        finally:
            self._drain.active -= 1

    def _report(self, exchange: "_Exchange") -> None:
        scope, seconds = exchange.scope, time.monotonic() - exchange.started
        route = getattr(scope.get("route"), "path", "unmatched")
        if self._observe is not None:
            self._observe(route, exchange.status, seconds)
        level = logging.DEBUG if scope["path"] in _QUIET else logging.INFO
        log.log(
            level,
            "%s %s %d %.1f ms id=%s%s",
            scope["method"],
            scope["path"].encode("unicode_escape").decode("ascii")[:200],
            exchange.status,
            seconds * 1000,
            exchange.request_id,
            exchange.notes(),
        )


def _without_known_traceback(scope: Scope, send: Send) -> Send:
    """Of a start that failed for a known reason, which whoever started it will say."""

    async def sending(message: Message) -> None:
        is_failure = message["type"] == "lifespan.startup.failed"
        if is_failure and scope["app"].state.failure is not None:
            message = {"type": message["type"]}
        await send(message)

    return sending


async def _read_away(receive: Receive) -> None:
    """Take the rest of a small request: a connection closed over unread bytes loses the answer."""
    num_bytes, is_whole = 0, False
    with suppress(TimeoutError):
        async with asyncio.timeout(READ_AWAY_S):
            while not is_whole and num_bytes < READ_AWAY_BYTES:
                message = await receive()
                num_bytes += len(message.get("body", b""))
                is_whole = not message.get("more_body", False)


class _Exchange:
    """One request and its answer."""

    def __init__(self, scope: Scope, send: Send) -> None:
        self.started = time.monotonic()
        self.scope = scope
        self.status = CLIENT_LEFT  # until an answer begins
        self._send = send
        given = Headers(scope=scope).get("x-request-id", "")
        self.request_id = given if _REQUEST_ID.fullmatch(given) else uuid.uuid4().hex
        state = scope.setdefault("state", {})
        state["request_id"] = self.request_id
        self._timings_ms: dict[str, float] = state.setdefault("timings_ms", {})
        self._notes: dict[str, object] = state.setdefault("notes", {})

    async def send(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            self.status = message["status"]
            headers = MutableHeaders(scope=message)
            headers["X-Request-ID"] = self.request_id
            headers["Server-Timing"] = self._server_timing()
        await self._send(message)

    @property
    def has_begun(self) -> bool:
        """Whether the answer's headers are out."""
        return self.status != CLIENT_LEFT

    def _server_timing(self) -> str:
        total = {"total": (time.monotonic() - self.started) * 1000}
        return ", ".join(f"{k};dur={v:.2f}" for k, v in {**self._timings_ms, **total}.items())

    def notes(self) -> str:
        """What the handlers wanted on the log line, as ` key=value`."""
        timings = {f"{key}_ms": f"{value:.1f}" for key, value in self._timings_ms.items()}
        return "".join(f" {key}={value}" for key, value in {**self._notes, **timings}.items())

    async def refuse(self, receive: Receive) -> None:
        await _read_away(receive)
        error = Draining(
            "this server is shutting down; send the request again",
            retry_after_s=RETRY_AFTER_S,
        )
        response = service_response(self.request_id, error)
        response.headers["Connection"] = "close"
        await response(self.scope, receive, self.send)

    async def fail(self, receive: Receive) -> None:
        response = error_response(
            self.request_id,
            500,
            "internal",
            "something went wrong on the server; its log has the details under this request id",
        )
        await response(self.scope, receive, self.send)
