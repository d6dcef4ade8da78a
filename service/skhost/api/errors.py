"""From any error to the one body: `{"error": {code, message, request_id, details?}}`."""

import difflib
import errno
import logging
import math
from collections.abc import Mapping, Sequence
from typing import Any

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from redis.exceptions import RedisError
from starlette.exceptions import HTTPException
from starlette.types import Receive, Scope, Send

from skhost.errors import (
    AdapterUnusable,
    BaseIncompatible,
    InvalidRequest,
    RegistryUnavailable,
    ServiceError,
    StoreUnavailable,
    UploadRefused,
)
from sktuning.errors import (
    ArtifactError,
    BaseMismatch,
    ConfigError,
    DataError,
    InputError,
    SKTuningError,
)

log = logging.getLogger(__name__)

SHOWN_CHARS = 80  # of a value the client sent, in a message

# The library's errors, most special first, as the service's.
_LIBRARY: tuple[tuple[type[SKTuningError], type[ServiceError]], ...] = (
    (InputError, InvalidRequest),
    (ConfigError, InvalidRequest),
    (DataError, UploadRefused),
    (BaseMismatch, BaseIncompatible),
    (ArtifactError, AdapterUnusable),
)

_NO_ROOM = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG})

_UNREADABLE = (
    "the body cannot be read: it is not UTF-8, is nested too deeply, or has a number that is too "
    "long or a broken form"
)
_HTTP_CODES = {
    404: "not_found",
    405: "method_not_allowed",
    413: "payload_too_large",
    415: "unsupported_media_type",
}


class ErrorAnswer(JSONResponse):
    """An error as it goes out; leaves its code in the request's state, for log and metrics."""

    def __init__(self, body: Mapping[str, Any], status: int, headers: Mapping[str, str]) -> None:
        super().__init__(body, status, dict(headers))
        self.code = str(body["error"]["code"])
        self.reason = ""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        scope["state"]["error"] = (self.code, self.reason)
        await super().__call__(scope, receive, send)


def error_response(
    request_id: str,
    status: int,
    code: str,
    message: str,
    *,
    details: Mapping[str, Any] | None = None,
    headers: Mapping[str, str] | None = None,
) -> ErrorAnswer:
    """The one error body."""
    error: dict[str, Any] = {"code": code, "message": message, "request_id": request_id}
    if details:
        error["details"] = dict(details)
    return ErrorAnswer({"error": error}, status, headers or {})


def service_response(request_id: str, error: ServiceError) -> ErrorAnswer:
    """A domain error as a response, with `Retry-After` where it has one."""
    headers = dict(error.headers)
    if error.retry_after_s is not None:
        headers["Retry-After"] = str(max(1, math.ceil(error.retry_after_s)))
    answer = error_response(
        request_id,
        error.status,
        error.code,
        error.message,
        details=error.details,
        headers=headers,
    )
    answer.reason = error.reason
    return answer


def translate(error: Exception) -> ServiceError | None:
    """The service's error for a library's or Redis's; None if it is nobody's."""
    if isinstance(error, ServiceError):
        return error
    if isinstance(error, RedisError):
        log.warning("the registry does not answer: %s", error)
        return RegistryUnavailable("the registry does not answer; try again", retry_after_s=2)
    if isinstance(error, OSError) and error.errno in _NO_ROOM:
        log.error("the disk is full: %s", error)
        return StoreUnavailable("there is no room on the server's disk", retry_after_s=30)
    for library, service in _LIBRARY:
        if isinstance(error, library):
            return service(str(error))
    return None


def install(app: FastAPI) -> None:
    """Register the handlers; any other exception is answered by the envelope."""
    for kind in (ServiceError, SKTuningError, RedisError, OSError):
        app.add_exception_handler(kind, _on_known)
    app.add_exception_handler(RequestValidationError, _on_invalid)
    app.add_exception_handler(HTTPException, _on_http)


async def _on_known(request: Request, error: Exception) -> JSONResponse:
    known = translate(error)
    if known is None:
        raise error
    return service_response(request.state.request_id, known)


async def _on_http(request: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, HTTPException)
    if error.status_code == 400:  # FastAPI's, for bodies that no parser of its takes
        return service_response(request.state.request_id, InvalidRequest(_UNREADABLE))
    return error_response(
        request.state.request_id,
        error.status_code,
        _HTTP_CODES.get(error.status_code, "http_error"),
        _http_message(request, error),
        headers=error.headers,
    )


def _http_message(request: Request, error: HTTPException) -> str:
    path = shown(request.url.path)
    if error.status_code == 404:
        return f"there is nothing at {path}; /docs lists what there is"
    if error.status_code == 405:
        allowed = (error.headers or {}).get("Allow", "another method")
        return f"{request.method} is not possible at {path}; use {allowed}"
    return str(error.detail)


async def _on_invalid(request: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, RequestValidationError)
    problems = problems_of(error.errors(), request.headers.get("content-type"))
    shown_problems = "; ".join(problems[:3])
    more = f"; and {len(problems) - 3} more" if len(problems) > 3 else ""
    return service_response(
        request.state.request_id,
        InvalidRequest(shown_problems + more, details={"problems": problems[:20]}),
    )


def problems_of(errors: Sequence[Any], content_type: str | None = None) -> list[str]:
    """Pydantic's errors as sentences that name the place and what was seen there."""
    return [_problem(error, content_type) for error in errors]


def _problem(error: Mapping[str, Any], content_type: str | None) -> str:
    where = _place(error["loc"])
    kind = error["type"]
    if kind == "json_invalid":
        reason = error.get("ctx", {}).get("error", "it cannot be parsed")
        return f"the body is not valid JSON: {reason}"
    if kind == "missing":
        return _missing(where, error["loc"])
    if kind == "value_error":
        message = str(error["msg"]).removeprefix("Value error, ")
        return f"{where}: {message}" if where else message
    if kind in {"model_attributes_type", "model_type", "dict_type"} and not where:
        return _not_an_object(error, content_type)
    return f"{where or 'the body'}: {_lower_first(error['msg'])}, got {shown(error.get('input'))}"


def _missing(where: str, loc: Sequence[str | int]) -> str:
    if loc[0] == "query":
        return f"{where} is required in the query (?{where}=…)"
    return f"{where} is required" if where else "a JSON body is required"


def _not_an_object(error: Mapping[str, Any], content_type: str | None) -> str:
    if isinstance(error.get("input"), (bytes, str)):
        return f"the body must be JSON sent as application/json, got {content_type or 'no type'}"
    return f"the body must be a JSON object, got {shown(error.get('input'))}"


def _place(loc: Sequence[str | int]) -> str:
    """("body", "texts", 3) as `texts[3]`."""
    place = ""
    for part in loc[1:]:
        place += f"[{part}]" if isinstance(part, int) else f".{part}" if place else str(part)
    return place


def _lower_first(text: str) -> str:
    return text[:1].lower() + text[1:]


def shown(value: object) -> str:
    """A client's value as it may stand in a message: escaped and cut."""
    text = ascii(value) if isinstance(value, str) else repr(value)
    cut = text if len(text) <= SHOWN_CHARS else f"{text[:SHOWN_CHARS]}…"
    return cut if value is None or isinstance(value, str) else f"{cut} ({type(value).__name__})"


def did_you_mean(name: str, known: Sequence[str]) -> str:
    """`; did you mean 'x'?` where a known name is near, else nothing."""
    near = difflib.get_close_matches(name, known, n=1)
    return f"; did you mean {near[0]!r}?" if near else ""
