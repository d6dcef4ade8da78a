"""What every request gets: an id, its timings, one log line, and a body whatever goes wrong."""

import asyncio
import logging
import random
import re
import time
from contextlib import suppress

from starlette.datastructures import Headers, MutableHeaders
from starlette.requests import ClientDisconnect
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from skhost.answers import Stage, Timings
from skhost.api.errors import error_response, service_response
from skhost.drain import Drain
from skhost.errors import Draining
from skhost.metrics import Metrics
from skhost.tracing import RequestSpan, Traces

log = logging.getLogger(__name__)

_REQUEST_ID = re.compile(r"[A-Za-z0-9._:-]{1,128}")
_ANSWERED_WHILE_DRAINING = frozenset({"/livez", "/readyz", "/metrics", "/info"})
_QUIET = frozenset({"/livez", "/readyz", "/metrics"})  # probes would fill the log
_METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})
READ_AWAY_BYTES = 1 << 20  # of a request that is refused unread
READ_AWAY_S = 1.0
CLIENT_LEFT = 499  # in the log and the metrics: nobody was there to answer


class Envelope:
    """ASGI middleware around the whole application."""

    def __init__(self, app: ASGIApp, *, drain: Drain, metrics: Metrics) -> None:
        self._app = app
        self._drain = drain
        self._metrics = metrics

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, _without_known_traceback(scope, send))
            return
        exchange = _Exchange(scope, send, self._drain)
        try:
            if self._drain.is_draining and scope["path"] not in _ANSWERED_WHILE_DRAINING:
                await exchange.refuse(receive)
            else:
                await self._serve(exchange, receive)
        finally:
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
                exchange.scope["state"]["error"] = ("internal", "")
                raise
            await exchange.fail(receive)
        finally:
            self._drain.active -= 1

    def _report(self, exchange: "_Exchange") -> None:
        seconds = time.monotonic() - exchange.started
        self._metrics.request(exchange.route, exchange.status, seconds)
        if exchange.error is not None:
            code, reason = exchange.error
            self._metrics.error(code, exchange.status, reason)
        exchange.end_span()
        log.log(
            logging.DEBUG if exchange.is_quiet else logging.INFO,
            "%s %s %d",
            exchange.method,
            exchange.route,
            exchange.status,
            extra=exchange.facts(seconds),
        )


def _ms(seconds: float) -> float:
    return round(seconds * 1000, 2)


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


def _new_id() -> str:
    """Unlike others; asking the system for it would hand the interpreter to another thread."""
    return f"{random.getrandbits(128):032x}"


class _Exchange:
    """One request and its answer."""

    def __init__(self, scope: Scope, send: Send, drain: Drain) -> None:
        self.started = time.monotonic()
        self.scope = scope
        self.status = CLIENT_LEFT  # until an answer begins
        self._send = send
        self._drain = drain
        headers = Headers(scope=scope)
        given = headers.get("x-request-id", "")
        self.request_id = given if _REQUEST_ID.fullmatch(given) else _new_id()
        state = scope.setdefault("state", {})
        state["request_id"] = self.request_id
        self._stages: list[Stage] = state.setdefault("stages", [])
        self._notes: dict[str, object] = state.setdefault("notes", {})
        traces: Traces | None = scope["app"].state.traces
        self._span: RequestSpan | None = None
        if traces is not None and not self.is_quiet:
            self._span = traces.begin(headers)
        state["span"] = self._span

    @property
    def is_quiet(self) -> bool:
        """Whether it is a probe."""
        return self.scope["path"] in _QUIET

    @property
    def method(self) -> str:
        """Its method, if it is one."""
        method: str = self.scope["method"]
        return method if method in _METHODS else "OTHER"

    @property
    def route(self) -> str:
        """The template of its path; the path itself may hold anything."""
        return str(getattr(self.scope.get("route"), "path", "unmatched"))

    @property
    def error(self) -> tuple[str, str] | None:
        """Code and reason of the error that it was answered with."""
        error: tuple[str, str] | None = self.scope["state"].get("error")
        return error

    async def send(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            self.status = message["status"]
            headers = MutableHeaders(scope=message)
            headers["X-Request-ID"] = self.request_id
            headers["Server-Timing"] = self._server_timing()
            if self._drain.is_leaving:
                headers["Connection"] = "close"  # the next request finds another server
        await self._send(message)

    @property
    def has_begun(self) -> bool:
        """Whether the answer's headers are out."""
        return self.status != CLIENT_LEFT

    def _server_timing(self) -> str:
        total = {"total": (time.monotonic() - self.started) * 1000}
        stages = Timings(tuple(self._stages)).to_ms()
        return ", ".join(f"{k};dur={v:.2f}" for k, v in {**stages, **total}.items())

    def facts(self, seconds: float) -> dict[str, object]:
        """What the log says of it; only what this server chose or knows, never what was sent."""
        timings = Timings(tuple(self._stages))
        stages_ms = {f"{stage}_ms": round(ms, 2) for stage, ms in timings.to_ms().items()}
        found: dict[str, object] = {"request_id": self.request_id, "total_ms": _ms(seconds)}
        found |= self._notes
        if timings.batch_items:
            found["batch_items"] = timings.batch_items
        found |= stages_ms
        if self.error is not None:
            found["error"] = self.error[0]
        if self._span is not None:
            found["trace_id"] = self._span.trace_id
        return found

    def end_span(self) -> None:
        """The request is over."""
        if self._span is not None:
            error = None if self.error is None else self.error[0]
            about = {**self._notes, "request_id": self.request_id}
            self._span.end(self.method, self.route, self.status, error, about, self._stages)

    async def refuse(self, receive: Receive) -> None:
        await _read_away(receive)
        error = Draining("this server is shutting down; send the request again")
        response = service_response(self.request_id, error)
        await response(self.scope, receive, self.send)

    async def fail(self, receive: Receive) -> None:
        response = error_response(
            self.request_id,
            500,
            "internal",
            "something went wrong on the server; its log has the details under this request id",
        )
        await response(self.scope, receive, self.send)
