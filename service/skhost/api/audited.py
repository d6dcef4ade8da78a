"""Routes that change something leave a line in the audit log, however they end."""

import re
from dataclasses import dataclass, field
from typing import Any

from fastapi import Request
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from skhost import audit
from skhost.access.record import Caller

_NAME = re.compile(r"[\w.@/-]{0,200}", re.ASCII)  # of anything; what is none may be a text


@dataclass(slots=True)
class Action:
    """What a request is about to do."""

    name: str
    on: str
    more: dict[str, Any] = field(default_factory=dict)


def announce(request: Request, name: str) -> None:
    """Say what a request does, before it is known whether it may; its path says on what."""
    on = "/".join(request.path_params.values())
    request.state.audit = Action(name, on)


def note(request: Request, on: str, **more: Any) -> None:
    """Say on what, where the path does not."""
    action: Action = request.state.audit
    action.on = on
    action.more |= more


class Audit:
    """ASGI middleware: writes the line once the answer is known."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        status = 500  # unless an answer begins

        async def sending(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
            await send(message)

        try:
            await self._app(scope, receive, sending)
        finally:
            _write(scope["state"], status)


def _write(state: dict[str, Any], status: int) -> None:
    action: Action | None = state.get("audit")
    caller: Caller | None = state.get("caller")
    if action is None or caller is None:
        return
    audit.record(
        action.name,
        action.on if _NAME.fullmatch(action.on) else "(not a name)",
        by=caller.who,
        tenant=caller.tenant,
        outcome=_outcome(status),
        status=status,
        request_id=state["request_id"],
        **action.more,
    )


def _outcome(status: int) -> str:
    if status < 400:
        return "done"
    return "refused" if status < 500 else "failed"
