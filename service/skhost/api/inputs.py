"""From a checked body to what is classified, within the server's limits."""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Annotated, Any

from fastapi import Query

from skhost.answers import ClassifyOptions
from skhost.api.schemas import ClassifyRequest
from skhost.errors import InvalidRequest
from skhost.names import AdapterRef, parse_ref
from skhost.schedule import Priority, Schedule
from skhost.settings import Settings
from sktuning.data import TextInput

PriorityQuery = Annotated[
    Priority,
    Query(
        description="`batch` takes what `interactive` leaves, and a ninth of a busy server; "
        "a full queue refuses it first."
    ),
]
TimeoutQuery = Annotated[
    float | None,
    Query(
        gt=0,
        description="Seconds after which an answer is of no use any more; what has not been "
        "computed by then will not be. At most the server's own limit.",
    ),
]


def refs_of(adapter: str, settings: Settings, tenant: str | None = None) -> list[AdapterRef]:
    """The adapters that a tenant's request names.

    Raises:
        InvalidRequest: none, too many, one twice, or a name that nothing can have.
    """
    names = [name.strip() for name in adapter.split(",")]
    limit = settings.max_adapters_per_request
    if len(names) > limit:
        raise InvalidRequest(f"a request may name {limit} adapters, got {len(names)}")
    refs = [replace(parse_ref(name), tenant=tenant) for name in names]
    if len(set(refs)) < len(refs):
        raise InvalidRequest(f"the same adapter is named twice in {adapter[:200]!r}")
    return refs


def options_of(body: ClassifyRequest) -> ClassifyOptions:
    """How a body wants its answers."""
    return ClassifyOptions(body.top_k, body.threshold, body.scores, body.truncate, body.max_risk)


def schedule_of(priority: Priority, timeout_s: float | None, settings: Settings) -> Schedule:
    """When work that is asked for now is to be done.

    Raises:
        InvalidRequest: it wants more time than the server gives.
    """
    longest = settings.request_timeout_s
    if timeout_s is not None and timeout_s > longest:
        raise InvalidRequest(f"timeout_s may be {longest:g} at most here, got {timeout_s:g}")
    return Schedule(asyncio.get_running_loop().time() + (timeout_s or longest), priority)


@dataclass(frozen=True, slots=True)
class Batch:
    """The inputs that are read, and errors in the places of those that are not."""

    inputs: list[TextInput]
    refused: dict[int, dict[str, Any]]  # index in the request → its item

    def spread(self, results: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
        """Results of `inputs` and the errors, in the request's order."""
        rest = iter(results)
        count = len(results) + len(self.refused)
        return [self.refused[i] if i in self.refused else next(rest) for i in range(count)]


def batch_of(body: ClassifyRequest, settings: Settings) -> Batch:
    """What a body asks to classify.

    Raises:
        InvalidRequest: there is nothing in it, too much, or nothing that is short enough.
    """
    inputs = _inputs(body)
    limit = settings.max_items_per_request
    if not inputs:
        raise InvalidRequest("there is nothing to classify: the list is empty")
    if len(inputs) > limit:
        raise InvalidRequest(
            f"a request may have {limit} texts, got {len(inputs)}; send them in several requests",
            details={"max_items": limit, "items": len(inputs)},
        )
    sizes = [size_of(item) for item in inputs]
    longest = settings.max_text_chars
    refused = {i: too_long(size, longest) for i, size in enumerate(sizes) if size > longest}
    if len(refused) == len(inputs):
        raise InvalidRequest(refused[0]["error"]["message"], details={"max_text_chars": longest})
    return Batch([item for i, item in enumerate(inputs) if i not in refused], refused)


def _inputs(body: ClassifyRequest) -> list[TextInput]:
    if body.text is not None:
        return [TextInput(body.text)]
    if body.texts is not None:
        return [TextInput(text) for text in body.texts]
    if body.pairs is not None:
        return [TextInput(first, second) for first, second in body.pairs]
    return [TextInput(tokens=tuple(words)) for words in body.tokens or ()]


def size_of(item: TextInput) -> int:
    """Characters of an input, all its parts together."""
    words = item.tokens or ()
    return len(item.text) + len(item.text_pair or "") + sum(map(len, words)) + len(words)


def too_long(size: int, limit: int) -> dict[str, Any]:
    """The item of an input of `size` characters."""
    message = f"the text has {size:,} characters; at most {limit:,} are read: send it in parts"
    return {"error": {"code": "input_too_long", "message": message}}
