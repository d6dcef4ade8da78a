"""Who calls is settled before anything of a request is read."""

from collections.abc import Collection

from starlette.datastructures import Headers
from starlette.types import ASGIApp, Receive, Scope, Send

from skhost.access.record import Caller
from skhost.api.errors import service_response
from skhost.errors import ServiceError
from skhost.services import Services

# What anyone may ask: whether the server lives, and what its interface is.
OPEN = frozenset({"/livez", "/readyz", "/docs", "/openapi.json"})


class Guard:
    """ASGI middleware: no path but the open ones is reached without a caller.

    Whether that caller may do what a route does is the route's to say (`deps.Needs`).
    """

    def __init__(self, app: ASGIApp, *, open_paths: Collection[str] = OPEN) -> None:
        self._app = app
        self._open_paths = open_paths

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        state = scope["state"]
        try:
            state["caller"] = await self._caller(scope)
        except ServiceError as error:
            await service_response(state["request_id"], error)(scope, receive, send)
            return
        await self._app(scope, receive, send)

    async def _caller(self, scope: Scope) -> Caller | None:
        if scope["path"] in self._open_paths:
            return None
        services: Services = scope["app"].state.services
        caller = await services.keyring.identify(_bearer(Headers(scope=scope)))
        if caller.key_id is not None:
            scope["state"]["notes"].update(key=caller.key_id, tenant=caller.tenant)
        return caller


def _bearer(headers: Headers) -> str | None:
    scheme, _, key = headers.get("authorization", "").partition(" ")
    return key.strip() if scheme.lower() == "bearer" else None
