"""A job's progress stream: what happened, in order, for whoever joins whenever.

An event's id is its id in the Redis stream, so reading goes on exactly behind any of them.
"""

import json
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass
from typing import Any, Final

from redis.asyncio import Redis

from skhost.connection import registry_errors
from skhost.errors import InvalidRequest
from skhost.jobs.record import TERMINAL, JobState

FROM_THE_START: Final = "0-0"
_BLOCK_MS: Final = 1_000  # well below the connection's own timeout
_PAGE: Final = 500


@dataclass(frozen=True, slots=True)
class Event:
    """Something that happened to a job.

    Attributes:
        id: stream id; give it back as `after` to go on behind it.
        kind: "state", "progress", "resumed", "retry", "waiting" or "log".
        data: plain JSON values; "fence" tells which attempt wrote it.
    """

    id: str
    kind: str
    data: dict[str, Any]

    @property
    def at(self) -> float:
        """Unix time at which it was written."""
        return int(self.id.split("-")[0]) / 1000

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON values."""
        return {"id": self.id, "kind": self.kind, "at": self.at, "data": self.data}


async def read_events(
    redis: Redis,
    key: str,
    after: str | None,
    state_of: Callable[[], Awaitable[JobState]],
) -> AsyncIterator[Event]:
    """The stream's events behind `after`, from the first by default, until the job has ended.

    Args:
        state_of: asked whenever there is nothing to read; may write events of its own.

    Raises:
        InvalidRequest: `after` is not a stream id.
        RegistryUnavailable: Redis does not answer.
    """
    last = _checked(after)
    while True:
        # The state is read first: what ends a job is in the stream once the record says so.
        has_ended = await state_of() in TERMINAL
        while page := await _read(redis, key, last, None if has_ended else _BLOCK_MS):
            for event in page:
                last = event.id
                yield event
                has_ended = has_ended or (_ends(event) and await state_of() in TERMINAL)
        if has_ended:
            return


async def _read(redis: Redis, key: str, after: str, block_ms: int | None) -> list[Event]:
    with registry_errors():
        answer: Any = await redis.xread({key: after}, count=_PAGE, block=block_ms)
    pages = answer.values() if isinstance(answer, dict) else [page for _, page in answer or []]
    entries = [entry for page in pages for entry in _entries(page)]
    return [Event(_text(i), _text(f["kind"]), json.loads(f["data"])) for i, f in entries]


def _entries(page: Any) -> list[tuple[Any, dict[str, Any]]]:
    """RESP3 wraps a stream's entries in one list more."""
    flat = page[0] if page and isinstance(page[0], list) else page
    return [(i, {_text(k): v for k, v in fields.items()}) for i, fields in flat]


def _ends(event: Event) -> bool:
    return event.kind == "state" and event.data.get("state") in TERMINAL


def _text(value: str | bytes) -> str:
    return value.decode() if isinstance(value, bytes) else value


def _checked(after: str | None) -> str:
    if after is None or after == "":
        return FROM_THE_START
    time_ms, _, sequence = after.partition("-")
    if not time_ms.isdigit() or not (sequence or "0").isdigit():
        raise InvalidRequest(f"{after[:40]!r} is not an event id; those look like 1718000000000-0")
    return after
