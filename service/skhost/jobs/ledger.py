"""Atomic writes on job records: every change of state, event and claim passes through here.

Knows Redis and the table of transitions; knows nothing of queues, processes or training.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from time import time
from typing import Any, Final

from redis.asyncio import Redis

from skhost.errors import JobNotFound, JobStateConflict, ServiceError
from skhost.jobs.record import TERMINAL, JobState, encode, sources_of
from skhost.keys import EVENTS_MAX_LENGTH, JOB_TTL_S, Keys

# Checks the fencing token and the transition, then writes everything in one step.
_WRITE: Final = """
local job, fence, events, lock, active, cancel, report = unpack(KEYS)
local id, token, to_state, sources, values, kind, data, length, ttl = unpack(ARGV)
local state = redis.call('HGET', job, 'state')
if not state then return {'missing', ''} end
if token ~= '' and redis.call('GET', fence) ~= token then return {'stale', state} end
if to_state ~= '' then
  if not string.find(sources, ',' .. state .. ',', 1, true) then return {'refused', state} end
  redis.call('HSET', job, 'state', to_state)
  if token == '' then redis.call('INCR', fence) end
end
for name, value in pairs(cjson.decode(values)) do redis.call('HSET', job, name, value) end
if kind ~= '' then
  redis.call('XADD', events, 'MAXLEN', length, '*', 'kind', kind, 'data', data)
end
if ttl ~= '' then
  if redis.call('GET', lock) == id then redis.call('DEL', lock) end
  redis.call('ZREM', active, id)
  redis.call('DEL', cancel)
  for _, key in ipairs({job, fence, events, report}) do redis.call('EXPIRE', key, ttl) end
end
return {'ok', state}
"""

# One attempt takes the job over: its token is the only valid one from here on.
_CLAIM: Final = """
local job, fence, cancel = unpack(KEYS)
local dispatch, sources, worker, now = unpack(ARGV)
local found = redis.call('HMGET', job, 'state', 'dispatch')
if not found[1] then return {'missing', 0, 0, 0} end
if found[2] ~= dispatch or not string.find(sources, ',' .. found[1] .. ',', 1, true) then
  return {'refused', 0, 0, 0}
end
local attempt = redis.call('HINCRBY', job, 'attempt', 1)
redis.call('HSETNX', job, 'started_at', now)
redis.call('HSET', job, 'state', 'validating', 'worker', worker, 'heartbeat_at', now)
return {'claimed', redis.call('INCR', fence), attempt, redis.call('EXISTS', cancel)}
"""


class StaleClaim(Exception):
    """Another attempt has claimed the job; this one may write nothing any more."""


@dataclass(frozen=True, slots=True)
class Claim:
    """What a claim got: the fencing token, the attempt's number, and whether to stop at once."""

    token: int
    attempt: int
    is_cancelled: bool


@dataclass(frozen=True, slots=True)
class Write:
    """One atomic change of a record. A state comes with an event of its own.

    Attributes:
        token: fencing token of the writer; None is for the outside, which takes the job away
            from whoever holds it.
    """

    state: JobState | None = None
    token: int | None = None
    values: Mapping[str, Any] = field(default_factory=dict)
    event: str | None = None
    data: Mapping[str, Any] = field(default_factory=dict)

    @property
    def ends(self) -> bool:
        """Whether the job is over: its locks go and its records get an expiry."""
        return self.state in TERMINAL

    def event_fields(self) -> tuple[str, str]:
        """Kind and JSON of the event, empty for none."""
        if self.event is None and self.state is None:
            return "", ""
        state = {} if self.state is None else {"state": self.state}
        fence = {} if self.token is None else {"fence": self.token}
        return self.event or "state", json.dumps({**state, **self.data, **fence})


class Ledger:
    """All writes on job records."""

    def __init__(self, redis: Redis, keys: Keys) -> None:
        self._redis = redis
        self._keys = keys
        self._write = redis.register_script(_WRITE)
        self._claim = redis.register_script(_CLAIM)

    async def claim(self, job_id: str, dispatch: int, worker: str) -> Claim | None:
        """Take the job for a new attempt; None when this queue entry may not have it."""
        keys = self._keys
        status, token, attempt, is_cancelled = await self._claim(
            keys=[keys.job(job_id), keys.job_fence(job_id), keys.job_cancel(job_id)],
            args=[str(dispatch), _joined(sources_of(JobState.VALIDATING)), worker, time()],
        )
        if status != "claimed":
            return None
        return Claim(int(token), int(attempt), bool(is_cancelled))

    async def write(self, job_id: str, name: str, write: Write) -> None:
        """Apply one change to the job `job_id` of the adapter `name`.

        Raises:
            JobNotFound: there is no such record.
            StaleClaim: the token is no longer the newest.
            JobStateConflict: the job's state does not allow the new one.
        """
        kind, data = write.event_fields()
        sources = "" if write.state is None else _joined(sources_of(write.state))
        status, state = await self._write(
            keys=self._write_keys(job_id, name),
            args=[
                job_id,
                "" if write.token is None else str(write.token),
                write.state or "",
                sources,
                json.dumps(encode(write.values)) if write.values else "{}",
                kind,
                data,
                EVENTS_MAX_LENGTH,
                JOB_TTL_S if write.ends else "",
            ],
        )
        if status != "ok":
            raise _refusal(status, job_id, state, write)

    async def refuse(self, job_id: str, claim: Claim, error: ServiceError) -> None:
        """Fail a job whose record cannot be read beyond the adapter's name."""
        name: Any = await self._redis.hget(self._keys.job(job_id), "name")
        found = {"code": error.code, "message": error.message}
        values = {"error": found, "finished_at": time()}
        end = Write(JobState.FAILED, claim.token, values, data={"error": found})
        await self.write(job_id, str(name), end)

    async def signals(self, job_id: str) -> tuple[int, bool]:
        """The newest fencing token, and whether the job is asked to stop: one cheap read."""
        keys = self._keys
        fence, cancel = await self._redis.mget(keys.job_fence(job_id), keys.job_cancel(job_id))
        return int(fence or 0), cancel is not None

    async def ask_to_stop(self, job_id: str) -> None:
        """Raise the flag that the training process reads."""
        await self._redis.set(self._keys.job_cancel(job_id), "1")

    async def put_report(self, job_id: str, report: Mapping[str, Any]) -> None:
        """Keep what the upload held."""
        await self._redis.set(self._keys.job_report(job_id), json.dumps(report))

    def _write_keys(self, job_id: str, name: str) -> list[str]:
        keys = self._keys
        return [
            keys.job(job_id),
            keys.job_fence(job_id),
            keys.job_events(job_id),
            keys.name_lock(name),
            keys.active_jobs(),
            keys.job_cancel(job_id),
            keys.job_report(job_id),
        ]


def _joined(states: frozenset[JobState]) -> str:
    return f",{','.join(sorted(states))},"


def _refusal(status: str, job_id: str, state: str, write: Write) -> Exception:
    if status == "missing":
        return JobNotFound(f"there is no job {job_id}")
    if status == "stale":
        return StaleClaim(f"job {job_id} was claimed again; token {write.token} is stale")
    return JobStateConflict(
        f"job {job_id} is {state} and cannot become {write.state}", details={"state": state}
    )
