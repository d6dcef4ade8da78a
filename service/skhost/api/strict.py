"""Routes that refuse query parameters which they do not know."""

from collections.abc import Callable, Coroutine, Iterator, Sequence
from typing import Any

from fastapi import Request, Response
from fastapi.dependencies.models import Dependant
from fastapi.routing import APIRoute

from skhost.api.errors import did_you_mean, shown
from skhost.errors import InvalidRequest


class StrictRoute(APIRoute):
    """A route whose own parameters, and those of its dependencies, are all there are."""

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        """FastAPI's handler, behind a look at the names."""
        handle = super().get_route_handler()
        known = tuple(dict.fromkeys(_names(self.dependant)))

        async def handle_known(request: Request) -> Response:
            _refuse_others(request, known)
            return await handle(request)

        return handle_known


def _names(dependant: Dependant) -> Iterator[str]:
    for field in dependant.query_params:
        yield field.alias
    for dependency in dependant.dependencies:
        yield from _names(dependency)


def _refuse_others(request: Request, known: Sequence[str]) -> None:
    for name in request.query_params:
        if name not in known:
            possible = ", ".join(known) or "none"
            raise InvalidRequest(
                f"unknown query parameter {shown(name)}{did_you_mean(name, known)}; "
                f"possible here: {possible}"
            )
