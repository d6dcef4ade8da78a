"""What handlers are given: the parts of the one composition, by name.

All dependencies are coroutines: FastAPI would run plain functions on a thread, a request at a time.
Each takes some 20 µs, so the route that answers most reads from its request.
"""

from typing import Annotated

from fastapi import Depends, Request, Security
from fastapi.security import HTTPBearer

from skhost.access.record import USERS, Caller, Scope
from skhost.api.audited import announce
from skhost.errors import Forbidden
from skhost.services import Services
from skhost.workspaces import Workspace


def services_in(request: Request) -> Services:
    """The composition that the lifespan made."""
    services: Services = request.app.state.services
    return services


async def services_of(request: Request) -> Services:
    """The same as a dependency."""
    return services_in(request)


ServicesDep = Annotated[Services, Depends(services_of)]


def caller_in(request: Request) -> Caller:
    """Who sent the request, as the guard found out."""
    caller: Caller = request.state.caller
    return caller


async def caller_of(request: Request) -> Caller:
    """The same as a dependency."""
    return caller_in(request)


CallerDep = Annotated[Caller, Depends(caller_of)]


async def workspace_of(request: Request) -> Workspace:
    """What the caller's tenant has; the tenant is the key's and never what a request says."""
    return services_in(request).workspaces.of(caller_in(request).tenant)


WorkspaceDep = Annotated[Workspace, Depends(workspace_of)]

# Only tells OpenAPI of the header: the guard has read it by then.
_BEARER = HTTPBearer(
    auto_error=False, description="An API key (`skh_…`); none is needed while there are none."
)


class Needs:
    """A dependency that refuses callers without one of these scopes.

    Args:
        scopes: none: those of everybody who works with adapters.
        action: what the audit log calls it, for routes that change something.
        is_operators: only for the server's own tenant: what is told is about all of them.
    """

    def __init__(
        self, *scopes: Scope, action: str | None = None, is_operators: bool = False
    ) -> None:
        self.scopes = scopes or USERS
        self.action = action
        self.is_operators = is_operators

    async def __call__(
        self, request: Request, _: Annotated[object, Security(_BEARER)] = None
    ) -> None:
        if self.action is not None:
            announce(request, self.action)
        caller: Caller | None = request.state.caller
        if caller is None:  # the guard keeps this path open
            return
        if not caller.may(self.scopes):
            names = " or ".join(self.scopes)
            error = Forbidden(
                f"this needs an API key with the scope {names}; {caller.who} has "
                f"{', '.join(sorted(caller.scopes))}",
                reason="scope",
            )
            error.headers["WWW-Authenticate"] = (
                f'Bearer realm="skhost", error="insufficient_scope", scope="{self.scopes[0]}"'
            )
            raise error
        home = services_in(request).settings.tenant
        if self.is_operators and caller.tenant != home:
            raise Forbidden(f"this is for keys of the server's own tenant, {home}", reason="tenant")
