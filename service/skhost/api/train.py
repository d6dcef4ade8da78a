"""POST /train and what can be done with a training job."""

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from typing import Annotated, Any

import anyio
from fastapi import APIRouter, Depends, Header, Query, Request
from fastapi.responses import JSONResponse
from sse_starlette import EventSourceResponse, ServerSentEvent

from skhost.access.record import Scope
from skhost.api.audited import note
from skhost.api.deps import CallerDep, Needs, ServicesDep, WorkspaceDep
from skhost.api.documented import errors
from skhost.api.form import receive_form
from skhost.api.schemas import JobBody, JobPage
from skhost.api.strict import StrictRoute
from skhost.api.train_form import parse_train_form, train_form_docs
from skhost.errors import (
    JobInProgress,
    JobNotFound,
    JobStateConflict,
    RegistryUnavailable,
    StoreUnavailable,
    Unauthorized,
    UploadRefused,
    UploadTooLarge,
)
from skhost.jobs import TERMINAL, Job, JobState
from skhost.jobs.events import Event
from skhost.records import finite
from skhost.services import Services
from skhost.tracing import RequestSpan

router = APIRouter(tags=["train"], route_class=StrictRoute)

STREAM_GRACE_S = 2.0  # the server's own grace for open connections is a little longer
RECHECK_EVERY_S = 1.0  # whether the caller's key still opens anything
FILES = frozenset({"file", "held_out"})
IdempotencyKey = Annotated[str | None, Header(max_length=200, pattern=r"^[\x21-\x7e]+$")]
Cursor = Annotated[str | None, Query(pattern=r"^\d{1,12}(\.\d{1,12})?$", description="Of a page.")]
Limit = Annotated[int, Query(ge=1, le=200)]

_EVENT_DOCS = {  # of each event
    "type": "object",
    "properties": {name: {"type": "string"} for name in ("id", "event", "data")},
    "required": ["event", "data"],
}


@router.post(
    "/train",
    status_code=202,
    response_model=JobBody,
    responses=errors(
        *(UploadRefused, UploadTooLarge, JobInProgress),
        *(RegistryUnavailable, StoreUnavailable),
    ),
    openapi_extra=train_form_docs(),
    dependencies=[Depends(Needs(Scope.TRAIN, action="job.create"))],
)
async def train(
    request: Request,
    services: ServicesDep,
    workspace: WorkspaceDep,
    idempotency_key: IdempotencyKey = None,
) -> JSONResponse:
    """Check an uploaded file and queue a training on it."""
    limit = services.settings.max_upload_bytes
    async with receive_form(request, services.settings.data_dir / "incoming", FILES, limit) as form:
        order = parse_train_form(form)
        note(request, order.name)
        span: RequestSpan | None = request.state.span
        traceparent = None if span is None else span.traceparent
        job = await workspace.admission.submit(order, idempotency_key, traceparent)
        note(request, order.name, job=job.id)
    return JSONResponse(job_body(job), status_code=202, headers={"Location": f"/train/{job.id}"})


@router.get(
    "/train",
    response_model=JobPage,
    responses=errors(RegistryUnavailable),
    dependencies=[Depends(Needs(Scope.TRAIN))],
)
async def list_jobs(
    workspace: WorkspaceDep,
    cursor: Cursor = None,
    limit: Limit = 50,
    state: JobState | None = None,
    name: str | None = None,
) -> JSONResponse:
    """List training jobs, newest first."""
    page = await workspace.jobs.list(cursor=cursor, limit=limit, state=state, name=name)
    return JSONResponse({"jobs": [job_body(job) for job in page.jobs], "next_cursor": page.cursor})


@router.get(
    "/train/{job_id}",
    response_model=JobBody,
    responses=errors(JobNotFound),
    dependencies=[Depends(Needs(Scope.TRAIN))],
)
async def get_job(job_id: str, workspace: WorkspaceDep) -> JSONResponse:
    """A training job as it is now."""
    return JSONResponse(job_body(await workspace.jobs.get(job_id)))


@router.post(
    "/train/{job_id}/cancel",
    response_model=JobBody,
    responses=errors(JobNotFound, JobStateConflict),
    dependencies=[Depends(Needs(Scope.TRAIN, action="job.cancel"))],
)
async def cancel(job_id: str, workspace: WorkspaceDep) -> JSONResponse:
    """Ask a job to stop; its checkpoint stays, so it can be resumed."""
    return JSONResponse(job_body(await workspace.jobs.cancel(job_id)))


@router.post(
    "/train/{job_id}/resume",
    response_model=JobBody,
    responses=errors(JobNotFound, JobStateConflict, JobInProgress),
    dependencies=[Depends(Needs(Scope.TRAIN, action="job.resume"))],
)
async def resume(job_id: str, workspace: WorkspaceDep) -> JSONResponse:
    """Let a job that failed or was cancelled go on from its checkpoint."""
    return JSONResponse(job_body(await workspace.jobs.resume(job_id)))


@router.get(
    "/train/{job_id}/events",
    response_class=EventSourceResponse,
    responses={
        200: {
            "content": {"text/event-stream": {"schema": _EVENT_DOCS}},
            "description": "Server-sent events; `data` is JSON. The last is `error` (`code`, "
            "`message`, `request_id`) where the key has ended before the job.",
        },
        **errors(JobNotFound),
    },
    dependencies=[Depends(Needs(Scope.TRAIN))],
)
async def events(
    job_id: str,
    request: Request,
    caller: CallerDep,
    services: ServicesDep,
    workspace: WorkspaceDep,
    last_event_id: Annotated[str | None, Header()] = None,
) -> EventSourceResponse:
    """A job's events as they happen, from the first; ends when the job, or the key, has ended."""
    stream = workspace.jobs.events(job_id, last_event_id)
    # The first event is awaited here, so that an unknown job or id is still a proper error.
    first = await anext(stream, None)
    stopping = anyio.Event()  # set when the server shuts down
    coming = _until(stopping, stream, lambda: services.keyring.recheck(caller))
    return EventSourceResponse(
        _sse(request, services, first, coming),
        shutdown_event=stopping,
        shutdown_grace_period=STREAM_GRACE_S,
    )


async def _sse(
    request: Request, services: Services, first: Event | None, coming: AsyncIterator[Event]
) -> AsyncIterator[ServerSentEvent]:
    with services.drain.streaming():
        if first is not None:
            yield _sent(first)
        try:
            async for event in coming:
                yield _sent(event)
        except Unauthorized as error:
            state = request.state
            state.error = (error.code, error.reason)
            body = {"code": error.code, "message": error.message, "request_id": state.request_id}
            yield ServerSentEvent(json.dumps(body, ensure_ascii=False), event="error")


async def _until(
    stopping: anyio.Event, stream: AsyncIterator[Event], recheck: Callable[[], None]
) -> AsyncIterator[Event]:
    """The stream's events; it ends early, and in order, when the server shuts down.

    Raises:
        Unauthorized: `recheck`, which is called before each event and now and then, did.
    """
    stop = asyncio.ensure_future(stopping.wait())
    coming = asyncio.ensure_future(anext(stream, None))
    try:
        while not stop.done():
            await asyncio.wait(
                {coming, stop}, timeout=RECHECK_EVERY_S, return_when=asyncio.FIRST_COMPLETED
            )
            recheck()
            if coming.done():
                if (event := coming.result()) is None:
                    return
                coming = asyncio.ensure_future(anext(stream, None))
                yield event
    finally:
        stop.cancel()
        coming.cancel()
        await asyncio.gather(stop, coming, return_exceptions=True)


def _sent(event: Event) -> ServerSentEvent:
    data = json.dumps(finite(event.data), ensure_ascii=False)
    return ServerSentEvent(data, event=event.kind, id=event.id)


def job_body(job: Job) -> dict[str, Any]:
    """A job as JSON."""
    values: dict[str, Any] = finite(job.to_dict())
    return {**values, "is_terminal": job.state in TERMINAL}
