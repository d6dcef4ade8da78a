"""Who calls is settled before anything of a request is read."""

import time
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from skhost.access.limits import Limiter, Policy, Unit, headers_of
from skhost.api import browser
from skhost.api.errors import service_response
from skhost.errors import ServiceError
from skhost.services import Services

# What anyone may ask: whether the server lives, and what its interface is.
OPEN = frozenset({"/livez", "/readyz", "/docs", "/openapi.json"})
COUNT_EVERY_S: Final = 1.0  # what a request uses that goes on for long


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
        try:
            visit = await self._admitted(scope)
        except ServiceError as error:
            response = service_response(scope["state"]["request_id"], error)
            await response(scope, receive, send)
            return
        try:
            await self._app(scope, receive, visit.sending(send))
        finally:
            await visit.usage.count()

    async def _admitted(self, scope: Scope) -> "_Visit":
        """Who calls, counted.

        Raises:
            Unauthorized, Forbidden, RateLimited, RegistryUnavailable: nobody, or too often.
        """
        state: dict[str, Any] = scope["state"]
        state["caller"], state["usage"] = None, Usage()
        if scope["path"] in self._open_paths:
            return _Visit(state["usage"])
        services: Services = scope["app"].state.services
        keyring, limiter = services.keyring, services.limiter
        headers = Headers(scope=scope)
        caller = await keyring.identify(_bearer(headers))
        if caller.key_id is not None:
            state["notes"].update(key=caller.key_id, tenant=caller.tenant)
        else:
            browser.check(headers, scope["method"], browser.hosts_of(services.settings))
        policies = limiter.policies(caller, keyring.tenants.get(caller.tenant))
        standings = await limiter.admit(policies)
        state["caller"], state["usage"] = caller, Usage(limiter, policies)
        return _Visit(state["usage"], headers_of(standings))


@dataclass(slots=True)
class Usage:
    """What a request has used; handlers add to it."""

    limiter: Limiter | None = None
    policies: Sequence[Policy] = ()
    tokens: int = 0  # that are not counted yet
    counted_at: float = field(default_factory=time.monotonic)

    async def count(self) -> None:
        """Count what was used."""
        tokens, self.tokens, self.counted_at = self.tokens, 0, time.monotonic()
        if self.limiter is not None:
            await self.limiter.charge(self.policies, tokens)

    async def check(self) -> None:
        """Return if a request that goes on for long may go on; looks once a second.

        Raises:
            RateLimited: a bound on tokens was reached, by this request or beside it.
        """
        bounds = [policy for policy in self.policies if policy.unit is Unit.TOKENS]
        is_early = time.monotonic() - self.counted_at < COUNT_EVERY_S
        if self.limiter is None or not bounds or is_early:
            return
        await self.count()
        await self.limiter.admit(bounds)


@dataclass(frozen=True, slots=True)
class _Visit:
    """A request that was let in."""

    usage: Usage
    headers: Mapping[str, str] = field(default_factory=dict)

    def sending(self, send: Send) -> Send:
        """`send`, which says in the answer's headers how much is left."""
        if not self.headers:
            return send

        async def sending(message: Message) -> None:
            if message["type"] == "http.response.start":
                MutableHeaders(scope=message).update(self.headers)
            await send(message)

        return sending


def _bearer(headers: Headers) -> str | None:
    scheme, _, key = headers.get("authorization", "").partition(" ")
    return key.strip() if scheme.lower() == "bearer" else None
