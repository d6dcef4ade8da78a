"""The error responses that OpenAPI lists for a route."""

from typing import Any

from skhost.api.schemas import ErrorBody
from skhost.errors import (
    Draining,
    Forbidden,
    InvalidRequest,
    PayloadTooLarge,
    RateLimited,
    ServiceError,
    Unauthorized,
)

GUARDED = (Unauthorized, Forbidden, RateLimited)  # what any caller may be told


def errors(*kinds: type[ServiceError]) -> dict[int | str, dict[str, Any]]:
    """`responses=` for a route that may answer with these errors, and with the general ones."""
    return only(*dict.fromkeys((*kinds, *GUARDED, InvalidRequest, Draining)))


def only(*kinds: type[ServiceError]) -> dict[int | str, dict[str, Any]]:
    """`responses=` for a route that takes nothing and answers while draining.

    Any request may have a body, and one that is too large.
    """
    kinds = tuple(dict.fromkeys((*kinds, PayloadTooLarge)))
    by_status: dict[int, list[type[ServiceError]]] = {}
    for kind in kinds:
        by_status.setdefault(kind.status, []).append(kind)
    return {
        status: {
            "model": ErrorBody,
            "description": " ".join(f"`{k.code}`: {(k.__doc__ or '').strip()}" for k in same),
        }
        for status, same in sorted(by_status.items())
    }
