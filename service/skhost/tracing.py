"""Requests as OpenTelemetry traces, for a collector; without one nothing that sends is imported.

A request's span begins with it. Its stages are timed anyway and become spans when it ends, so that
nothing on the way knows of traces.
"""

import asyncio
import threading
import time
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from importlib.util import find_spec
from typing import TYPE_CHECKING

from skhost import __version__
from skhost.errors import ServiceError

if TYPE_CHECKING:
    from opentelemetry.trace import Span, Tracer

    from skhost.answers import Stage

PATH = "/v1/traces"
CLOSE_WITHIN_S = 3.0


class TracesUnavailable(ServiceError):
    """Traces are wanted, and what sends them is not installed."""

    status, code = 500, "traces_unavailable"

    def __init__(self) -> None:
        super().__init__(
            "an OTLP endpoint is set, but what sends traces is not installed: "
            "pip install 'skhost[otel]', or unset SKHOST_OTLP_ENDPOINT"
        )


@asynccontextmanager
async def tracing(endpoint: str | None) -> AsyncIterator["Traces | None"]:
    """Traces for a collector, which has all of them at the end; None where there is no endpoint.

    Raises:
        TracesUnavailable: the packages of the extra `otel` are not there.
    """
    if endpoint is None:
        yield None
        return
    traces = Traces(endpoint)
    try:
        yield traces
    finally:
        await asyncio.to_thread(traces.close)


def check_installed(endpoint: str | None) -> None:
    """Return if traces can be sent there, or nobody wants them to be; loads nothing that sends.

    Raises:
        TracesUnavailable: the packages of the extra `otel` are not there.
    """
    if endpoint is not None and not _is_installed():
        raise TracesUnavailable


def _is_installed() -> bool:
    names = ("opentelemetry", "opentelemetry.sdk", "opentelemetry.exporter.otlp.proto.http")
    try:
        return all(find_spec(name) is not None for name in names)
    except ModuleNotFoundError:  # of a parent
        return False


class Traces:
    """Sends spans to `endpoint` from a thread of its own.

    OpenTelemetry's own variables, such as OTEL_TRACES_SAMPLER and OTEL_EXPORTER_OTLP_HEADERS, mean
    what they mean elsewhere.

    Args:
        endpoint: base URL of a collector that takes OTLP over HTTP.

    Raises:
        TracesUnavailable: the packages of the extra `otel` are not there.
    """

    def __init__(self, endpoint: str) -> None:
        try:
            from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
            from opentelemetry.sdk.resources import OTELResourceDetector, Resource
            from opentelemetry.sdk.trace import TracerProvider
            from opentelemetry.sdk.trace.export import BatchSpanProcessor
        except ImportError as error:
            raise TracesUnavailable from error
        named = Resource({"service.name": "skhost", "service.version": __version__})
        self._provider = TracerProvider(
            resource=named.merge(OTELResourceDetector().detect()), shutdown_on_exit=False
        )
        exporter = OTLPSpanExporter(endpoint=endpoint.rstrip("/").removesuffix(PATH) + PATH)
        self._provider.add_span_processor(BatchSpanProcessor(exporter))
        self.tracer: Tracer = self._provider.get_tracer("skhost", __version__)

    def begin(self, headers: Mapping[str, str]) -> "RequestSpan":
        """A request came; its `traceparent`, where it has one, says what it is a part of."""
        from opentelemetry.trace import SpanKind
        from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

        parent = TraceContextTextMapPropagator().extract(headers)
        span = self.tracer.start_span("request", parent, kind=SpanKind.SERVER)
        return RequestSpan(self.tracer, span)

    def close(self) -> None:
        """Send what is left, as far as the collector takes it in `CLOSE_WITHIN_S`."""
        ending = threading.Thread(target=self._provider.shutdown, daemon=True)
        ending.start()  # a collector that is away would be tried for longer
        ending.join(CLOSE_WITHIN_S)


class RequestSpan:
    """A request, and later its stages."""

    def __init__(self, tracer: "Tracer", span: "Span") -> None:
        self._tracer = tracer
        self._span = span

    @property
    def trace_id(self) -> str:
        """As `traceparent` and collectors spell it."""
        return f"{self._span.get_span_context().trace_id:032x}"

    @property
    def traceparent(self) -> str:
        """For whatever goes on from this request."""
        from opentelemetry.trace import set_span_in_context
        from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

        carrier: dict[str, str] = {}
        TraceContextTextMapPropagator().inject(carrier, set_span_in_context(self._span))
        return carrier["traceparent"]

    def end(
        self,
        method: str,
        route: str,
        status: int,
        error: str | None,
        about: Mapping[str, object],
        stages: Sequence["Stage"],
    ) -> None:
        """The request was answered.

        Args:
            route: template of its path.
            error: code of the error that it was answered with.
            about: what else is known of it.
        """
        from opentelemetry.trace import Status, StatusCode

        span = self._span
        span.update_name(f"{method} {route}")
        span.set_attribute("http.request.method", method)
        span.set_attribute("http.route", route)
        span.set_attribute("http.response.status_code", status)
        span.set_attributes({f"skhost.{name}": str(value) for name, value in about.items()})
        if error is not None:
            span.set_attribute("error.type", error)
        if status >= 500:
            span.set_status(Status(StatusCode.ERROR))
        if span.is_recording():
            self._add(stages)
        span.end()

    def _add(self, stages: Sequence["Stage"]) -> None:
        from opentelemetry.trace import set_span_in_context

        within = set_span_in_context(self._span)
        offset_s = time.time() - time.monotonic()
        for stage in stages:
            began_s = offset_s + stage.began_at
            span = self._tracer.start_span(stage.name, within, start_time=_ns(began_s))
            if stage.batch_items:
                span.set_attribute("skhost.batch_items", stage.batch_items)
            span.end(_ns(began_s + stage.seconds))


def _ns(seconds: float) -> int:
    return int(seconds * 1e9)
