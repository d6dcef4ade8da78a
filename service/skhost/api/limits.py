"""Request bodies have a limit, counted as they arrive."""

from collections.abc import Callable

from starlette.datastructures import Headers
from starlette.exceptions import HTTPException
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from skhost.api.errors import service_response
from skhost.errors import PayloadTooLarge


class BodyLimit:
    """ASGI middleware: refuses a body beyond `max_bytes(path)`, declared or streamed.

    None is no limit: whoever reads such a body keeps little of it at once.
    """

    def __init__(self, app: ASGIApp, *, max_bytes: Callable[[str], int | None]) -> None:
        self._app = app
        self._max_bytes = max_bytes

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        limit = self._max_bytes(scope["path"])
        if limit is None:
            await self._app(scope, receive, send)
            return
        declared = Headers(scope=scope).get("content-length", "")
        if declared.isdigit() and int(declared) > limit:
            error = PayloadTooLarge(_message(limit, f"{int(declared):,} bytes were announced"))
            await service_response(scope["state"]["request_id"], error)(scope, receive, send)
            return
        await self._app(scope, _Counted(receive, limit), send)


class _Counted:
    def __init__(self, receive: Receive, limit: int) -> None:
        self._receive = receive
        self._limit = limit
        self._seen = 0

    async def __call__(self) -> Message:
        message = await self._receive()
        self._seen += len(message.get("body", b""))
        if self._seen > self._limit:
            # The one exception that FastAPI's body parsing lets through as it is.
            raise HTTPException(413, _message(self._limit, "more arrived"))
        return message


def _message(limit: int, seen: str) -> str:
    return f"the body may have {limit:,} bytes; {seen}. Send less, or in several requests"
