"""Answers as JSON bytes: values that are plain already, written by pydantic's serializer."""

from typing import Any

from pydantic_core import to_json
from starlette.responses import Response


def encoded(value: Any) -> bytes:
    """A plain value as JSON; a number that JSON does not have becomes null."""
    return to_json(value, inf_nan_mode="null")


class JsonAnswer(Response):
    """A response of a plain value. The route's `response_model` documents it, and is not run."""

    media_type = "application/json"

    def render(self, content: Any) -> bytes:
        """Called by the response itself."""
        return encoded(content)
