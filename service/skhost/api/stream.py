"""POST /classify/stream: JSON Lines in and JSON Lines out, for as many texts as there are."""

import asyncio
import logging
from collections.abc import AsyncGenerator, Callable, Sequence
from contextlib import aclosing
from dataclasses import dataclass, field, replace
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Depends, Query, Request
from starlette.requests import ClientDisconnect
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from skhost.access.record import Caller
from skhost.access.record import Scope as AccessScope
from skhost.answers import AdapterAnswer, ClassifyOptions, Stage, Timings
from skhost.api.answer import encoded
from skhost.api.arriving import Arriving
from skhost.api.departure import unless_left
from skhost.api.deps import CallerDep, Needs, ServicesDep
from skhost.api.documented import errors
from skhost.api.errors import translate
from skhost.api.inputs import PriorityQuery, TimeoutQuery, schedule_of
from skhost.api.rows import Row, RowPart, Rows
from skhost.api.schemas import ClassifyRequest, ClassifyRow
from skhost.api.strict import StrictRoute
from skhost.engine import Pinned
from skhost.errors import (
    AdapterNotFound,
    AdapterQuarantined,
    AdapterUnusable,
    AliasNotFound,
    BaseIncompatible,
    DeadlineExceeded,
    Overloaded,
    RegistryUnavailable,
    ServiceError,
    StoreUnavailable,
    VersionNotFound,
)
from skhost.names import AdapterRef, parse_ref
from skhost.ordered import in_order
from skhost.protocol import CLOSED
from skhost.schedule import Priority, Schedule
from skhost.services import Services

log = logging.getLogger(__name__)

router = APIRouter(tags=["classify"], route_class=StrictRoute)

MEDIA_TYPE = "application/x-ndjson"
_INTERNAL = {
    "code": "internal",
    "message": "something went wrong on the server; its log has the details under this request id",
}


def _described(name: str) -> str | None:
    return ClassifyRequest.model_fields[name].description


async def stream_options(
    top_k: Annotated[int | None, Query(ge=1, description=_described("top_k"))] = None,
    threshold: Annotated[
        float | None, Query(ge=0, le=1, description=_described("threshold"))
    ] = None,
    scores: Literal["prob", "logit", "none"] = "prob",
    max_risk: Annotated[float | None, Query(gt=0, le=1, description=_described("max_risk"))] = None,
    truncate: Annotated[bool, Query(description=_described("truncate"))] = True,
) -> ClassifyOptions:
    """How a stream wants its answers: in the query, for its body is rows."""
    return ClassifyOptions(top_k, threshold, scores, truncate, max_risk)


@router.post(
    "/classify/stream",
    response_class=Response,
    responses={
        200: {
            "content": {MEDIA_TYPE: {}},
            "description": "One line a row, in order: `line`, its `id` if it has one, and the item "
            "or `error`. The last line is `end`: `rows` and `errors` answered, `tokens`, and "
            "`error` where the rest of the rows is not answered. The headers X-Adapter and "
            "X-Artifact-Digest say what answers, from the first row to the last.",
        },
        **errors(
            *(AdapterNotFound, VersionNotFound, AliasNotFound),
            *(BaseIncompatible, AdapterUnusable, AdapterQuarantined, Overloaded, DeadlineExceeded),
            *(RegistryUnavailable, StoreUnavailable),
        ),
    },
    openapi_extra={
        "requestBody": {
            "required": True,
            "content": {MEDIA_TYPE: {"schema": ClassifyRow.model_json_schema()}},
        }
    },
    dependencies=[Depends(Needs(AccessScope.CLASSIFY))],
)
async def classify_stream(
    request: Request,
    services: ServicesDep,
    caller: CallerDep,
    options: Annotated[ClassifyOptions, Depends(stream_options)],
    adapter: Annotated[
        str,
        Query(
            description="NAME, NAME@VERSION or NAME@ALIAS.",
            examples=["sentiment", "sentiment@3"],
            max_length=200,
        ),
    ],
    priority: PriorityQuery = Priority.BATCH,
    timeout_s: TimeoutQuery = None,
) -> Response:
    """Classify JSON Lines, one text a line, as they come.

    Answers come while the request is still being sent, and a client that does not take them is not
    read from: send and receive at the same time. A bad row gets an error and the rest goes on.
    Each row has `timeout_s` from when it was read.
    """

    def schedule() -> Schedule:
        return schedule_of(priority, timeout_s, services.settings)

    schedule()  # what cannot be is refused here
    ref = replace(parse_ref(adapter), tenant=caller.tenant)
    return _Streaming(services, request, caller, ref, options, schedule)


@dataclass(slots=True)
class _Count:
    rows: int = 0
    errors: int = 0
    tokens: int = 0
    longest: dict[str, Stage] = field(default_factory=dict)  # of all parts' stages of a name

    def add(self, answered: "_Answered") -> None:
        self.rows += len(answered.items)
        self.errors += sum("error" in item for item in answered.items)
        self.tokens += answered.tokens
        for stage in answered.timings.stages:
            known = self.longest.get(stage.name)
            if known is None or stage.seconds > known.seconds:
                self.longest[stage.name] = stage


@dataclass(frozen=True, slots=True)
class _Answered:
    """A part's lines."""

    items: list[dict[str, Any]] = field(default_factory=list)
    tokens: int = 0
    timings: Timings = field(default_factory=Timings)


class _Streaming(Response):
    """Reads rows and writes answers at the same time.

    Until the first answer is there it has sent nothing, so that an error is an ordinary one.
    """

    def __init__(
        self,
        services: Services,
        request: Request,
        caller: Caller,
        ref: AdapterRef,
        options: ClassifyOptions,
        schedule: Callable[[], Schedule],
    ) -> None:
        super().__init__(media_type=MEDIA_TYPE)
        del self.headers["content-length"]
        self._services = services
        self._request = request
        self._caller = caller
        self._ref = ref
        self._options = options
        self._schedule = schedule
        self._has_begun = False
        self._count = _Count()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        services, settings = self._services, self._services.settings
        closed = scope["state"][CLOSED] = asyncio.Event()
        body = Arriving(receive, services.drain, self._recheck, settings.stream_idle_s, closed)
        rows = Rows(body, settings)
        async with services.engine.pinned([self._ref], self._options) as pinned:
            record = pinned[0][0]
            self.headers["X-Adapter"] = f"{record.name}@{record.version}"
            self.headers["X-Artifact-Digest"] = record.digest
            try:
                await unless_left(body.until_left(), self._answer_all(pinned, rows, send))
            finally:
                count = self._count
                self._request.state.stages[:] = count.longest.values()
                self._request.state.notes.update(
                    adapter=record.name,
                    version=str(record.version),
                    items=count.rows,
                    errors=count.errors,
                )

    async def _answer_all(self, pinned: Sequence[Pinned], rows: Rows, send: Send) -> None:
        ended_by: dict[str, Any] | None = None
        try:
            async with aclosing(self._answers(pinned, rows)) as answers:
                async for answered in answers:
                    self._recheck()
                    self._count.add(answered)
                    if not self._has_begun:  # a header can only tell of the first part
                        self._request.state.stages[:] = answered.timings.stages
                    self._request.state.usage.tokens += answered.tokens
                    await self._write(send, b"".join(map(encode_line, answered.items)))
                    await self._request.state.usage.check()
            if rows.error is not None:
                raise rows.error
        except Exception as error:
            if isinstance(error, ClientDisconnect) or not self._has_begun:
                raise
            ended_by = self._ending(error)
        count = self._count
        end: dict[str, Any] = {"rows": count.rows, "errors": count.errors, "tokens": count.tokens}
        if ended_by is not None:
            end["error"] = ended_by
        await self._write(send, encode_line({"end": end}))
        await send({"type": "http.response.body", "body": b"", "more_body": False})

    def _recheck(self) -> None:
        self._services.keyring.recheck(self._caller)

    def _answers(self, pinned: Sequence[Pinned], rows: Rows) -> AsyncGenerator[_Answered, None]:
        async def answer(part: RowPart) -> _Answered:
            return await self._answer(pinned, part)

        return in_order(rows.parts(), answer, self._services.settings.stream_window)

    async def _answer(self, pinned: Sequence[Pinned], part: RowPart) -> _Answered:
        inputs = [row.input for row in part.rows if row.input is not None]
        if not inputs:
            return _Answered([_item(row, {}) for row in part.rows])
        loop, schedule = asyncio.get_running_loop(), self._schedule()
        while True:
            try:
                (answer,) = await self._services.engine.classify_pinned(
                    pinned, inputs, self._options, schedule
                )
            except Overloaded as error:
                wait_s = error.retry_after_s or 1.0
                if loop.time() + wait_s >= schedule.deadline:
                    raise
                await asyncio.sleep(wait_s)
            else:
                return _spread(part.rows, answer)

    async def _write(self, send: Send, data: bytes) -> None:
        idle_s = self._services.settings.stream_idle_s
        try:
            async with asyncio.timeout(idle_s):
                if not self._has_begun:
                    self._has_begun = True
                    await send(
                        {
                            "type": "http.response.start",
                            "status": self.status_code,
                            "headers": self.raw_headers,
                        }
                    )
                await send({"type": "http.response.body", "body": data, "more_body": True})
        except TimeoutError:
            log.warning("a stream's client took no answers for %g s", idle_s)
            raise ClientDisconnect from None

    def _ending(self, error: Exception) -> dict[str, Any]:
        """Why the stream ends early, as its last line says it."""
        known, request_id = translate(error), self._request.state.request_id
        self._request.state.error = ("internal", "") if known is None else (known.code, "")
        if known is None:
            log.error("request %s failed", request_id, exc_info=error)
            return {**_INTERNAL, "request_id": request_id}
        return _error(known, request_id)


def _error(error: ServiceError, request_id: str) -> dict[str, Any]:
    body: dict[str, Any] = {"code": error.code, "message": error.message, "request_id": request_id}
    return {**body, "details": error.details} if error.details else body


def _spread(rows: Sequence[Row], answer: AdapterAnswer) -> _Answered:
    """The answers in the places of their rows."""
    results = iter(answer.results)
    items = [_item(row, {} if row.input is None else next(results)) for row in rows]
    return _Answered(items, answer.num_tokens, answer.timings)


def _item(row: Row, result: dict[str, Any]) -> dict[str, Any]:
    head: dict[str, Any] = {"line": row.line}
    if row.id is not None:
        head["id"] = row.id
    return {**head, **(row.error or result)}


def encode_line(value: dict[str, Any]) -> bytes:
    """A value as one line."""
    return encoded(value) + b"\n"
