"""What handlers are given: the parts of the one composition, by name.

All are coroutines: FastAPI would run plain functions on a thread, a request at a time.
"""

from typing import Annotated

from fastapi import Depends, Request

from skhost.api.errors import did_you_mean, shown
from skhost.errors import InvalidRequest
from skhost.services import Services


async def services_of(request: Request) -> Services:
    """The composition that the lifespan made."""
    services: Services = request.app.state.services
    return services


ServicesDep = Annotated[Services, Depends(services_of)]


class OnlyQuery:
    """A dependency that refuses query parameters that the route does not know."""

    def __init__(self, *known: str) -> None:
        self._known = known

    async def __call__(self, request: Request) -> None:
        for name in request.query_params:
            if name not in self._known:
                possible = ", ".join(self._known) or "none"
                raise InvalidRequest(
                    f"unknown query parameter {shown(name)}{did_you_mean(name, self._known)}; "
                    f"possible here: {possible}"
                )
