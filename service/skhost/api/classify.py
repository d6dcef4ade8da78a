"""POST /classify: texts in, each adapter's answers out."""

import re
from collections.abc import Callable, Coroutine, Sequence
from typing import Annotated, Any, Final

from fastapi import APIRouter, Depends, Query, Request, Response
from pydantic import ValidationError

from skhost.access.record import Scope
from skhost.api.answer import JsonAnswer
from skhost.api.departure import unless_client_leaves
from skhost.api.deps import Needs, caller_in, services_in
from skhost.api.documented import errors
from skhost.api.inputs import (
    PriorityQuery,
    TimeoutQuery,
    batch_of,
    options_of,
    refs_of,
    schedule_of,
)
from skhost.api.schemas import ClassifyAnswer, ClassifyRequest, FanOutAnswer
from skhost.api.strict import StrictRoute
from skhost.errors import (
    AdapterNotFound,
    AdapterQuarantined,
    AdapterUnusable,
    AliasNotFound,
    BaseIncompatible,
    DeadlineExceeded,
    InvalidRequest,
    Overloaded,
    RegistryUnavailable,
    StoreUnavailable,
    VersionNotFound,
)
from skhost.schedule import Priority

_USUAL_QUERY: Final = re.compile(rb"adapter=([\w.@,-]{1,2000})", re.ASCII)
_MAY_CLASSIFY: Final = Needs(Scope.CLASSIFY)


class ClassifyRoute(StrictRoute):
    """Reads the usual request by itself, with less work; FastAPI reads any other.

    The usual one names its adapters and nothing else, plainly, and has a body that is as it should
    be. So whatever is wrong with a request is found and said in one place.
    """

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        """The handler in front of FastAPI's."""
        handle = super().get_route_handler()

        async def handle_quickly(request: Request) -> Response:
            scope = request.scope
            query = _USUAL_QUERY.fullmatch(scope["query_string"])
            if query is None or not _is_plain_json(scope["headers"]):
                return await handle(request)
            try:
                body = ClassifyRequest.model_validate_json(await request.body())
            except ValidationError:
                return await handle(request)
            await _MAY_CLASSIFY(request)
            return await classify(request, body, query[1].decode())

        return handle_quickly


def _is_plain_json(headers: Sequence[tuple[bytes, bytes]]) -> bool:
    return [value for name, value in headers if name == b"content-type"] == [b"application/json"]


router = APIRouter(tags=["classify"], route_class=ClassifyRoute)

AdapterQuery = Annotated[
    str,
    Query(
        description="NAME, NAME@VERSION or NAME@ALIAS; several, joined by commas, get the same "
        "texts each.",
        examples=["sentiment", "sentiment@3", "sentiment,topic"],
        max_length=2000,
    ),
]


@router.post(
    "/classify",
    response_model=ClassifyAnswer | FanOutAnswer,
    responses=errors(
        *(AdapterNotFound, VersionNotFound, AliasNotFound),
        *(BaseIncompatible, AdapterUnusable, AdapterQuarantined, Overloaded, DeadlineExceeded),
        *(RegistryUnavailable, StoreUnavailable),
    ),
    dependencies=[Depends(_MAY_CLASSIFY)],
)
async def classify(
    request: Request,
    body: ClassifyRequest,
    adapter: AdapterQuery,
    priority: PriorityQuery = Priority.INTERACTIVE,
    timeout_s: TimeoutQuery = None,
) -> JsonAnswer:
    """Classify texts with one adapter, or with several at once."""
    services = services_in(request)
    refs = refs_of(adapter, services.settings, caller_in(request).tenant)
    batch = batch_of(body, services.settings)
    schedule = schedule_of(priority, timeout_s, services.settings)
    answers = await unless_client_leaves(
        request, services.engine.classify(refs, batch.inputs, options_of(body), schedule)
    )
    request.state.usage.tokens += sum(answer.num_tokens for answer in answers)
    request.state.stages.extend(answers[0].timings.stages)
    request.state.notes.update(
        adapter=",".join(answer.adapter for answer in answers),
        version=",".join(str(answer.version) for answer in answers),
        items=len(batch.inputs),
    )
    bodies = [{**a.to_dict(), "results": batch.spread(a.results)} for a in answers]
    if len(bodies) > 1:
        return JsonAnswer({"adapters": bodies})
    if body.text is not None:
        _raise_only_error(bodies[0]["results"][0])
    return JsonAnswer(bodies[0])


def _raise_only_error(item: dict[str, Any]) -> None:
    """With one text there is no rest to answer for: its error is the request's."""
    error = item.get("error")
    if error is not None:
        raise InvalidRequest(error["message"], details={"reason": error["code"]})
