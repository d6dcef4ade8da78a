"""A training as OpenTelemetry spans: one an attempt, and in it one a stage.

They go on from the request that made the job. Nothing of an upload is in them, and of an error its
code alone.
"""

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from typing import TYPE_CHECKING, Any

from skhost.errors import ServiceError
from skhost.jobs.attempt import Work
from skhost.jobs.record import Job
from skhost.tracing import tracing
from sktuning.errors import SKTuningError, TrainingCancelled

if TYPE_CHECKING:
    from opentelemetry.trace import Span, Tracer

NAME = "train job"


@asynccontextmanager
async def traced(endpoint: str | None, job: Job) -> AsyncIterator[Callable[[Work], Work]]:
    """What makes an attempt's work tell a collector of its stages; without an endpoint nothing.

    Raises:
        TracesUnavailable: the packages of the extra `otel` are not there.
    """
    async with tracing(endpoint) as traces:
        if traces is None:
            yield lambda work: work
            return
        span = _begun(traces.tracer, job)
        try:
            yield lambda work: _Traced(work, traces.tracer, span)
        finally:
            span.end()


def _begun(tracer: "Tracer", job: Job) -> "Span":
    from opentelemetry.trace import SpanKind
    from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

    carrier = {} if job.traceparent is None else {"traceparent": job.traceparent}
    parent = TraceContextTextMapPropagator().extract(carrier)
    about: dict[str, str | int] = {
        "skhost.job": job.id,
        "skhost.adapter": job.name,
        "skhost.tenant": job.tenant,
        "skhost.attempt": job.attempt,
    }
    return tracer.start_span(NAME, parent, kind=SpanKind.CONSUMER, attributes=about)


class _Traced:
    """Work whose stages are spans within the attempt's."""

    def __init__(self, work: Work, tracer: "Tracer", span: "Span") -> None:
        self._work = work
        self._tracer = tracer
        self._span = span

    async def validate(self) -> dict[str, Any]:
        with self._stage("read"):
            return await self._work.validate()

    async def train(self) -> None:
        with self._stage("train"):
            await self._work.train()

    async def evaluate(self) -> None:
        with self._stage("evaluate"):
            await self._work.evaluate()

    async def publish(self, token: int) -> dict[str, Any]:
        with self._stage("publish"):
            return await self._work.publish(token)

    def clear(self) -> None:
        self._work.clear()

    @contextmanager
    def _stage(self, name: str) -> Iterator[None]:
        from opentelemetry.trace import set_span_in_context

        span = self._tracer.start_span(name, set_span_in_context(self._span))
        try:
            yield
        except (asyncio.CancelledError, TrainingCancelled):
            for each in (span, self._span):
                each.set_attribute("skhost.stopped", True)
            raise
        except Exception as error:
            for each in (span, self._span):
                _mark(each, error)
            raise
        finally:
            span.end()


def _mark(span: "Span", error: Exception) -> None:
    """What went wrong; a fault of ours unless the upload or the request is to blame."""
    from opentelemetry.trace import Status, StatusCode

    is_ours = not isinstance(error, SKTuningError)
    code = type(error).__name__
    if isinstance(error, ServiceError):
        is_ours, code = error.status >= 500, error.code
    span.set_attribute("error.type", code)
    if is_ours:
        span.set_status(Status(StatusCode.ERROR))
