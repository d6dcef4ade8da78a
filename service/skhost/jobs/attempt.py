"""One attempt at a job: its stages in order, and everything around the work itself.

Knows the record, the fencing token, heartbeats, cancelling, handing back and giving up; knows
nothing of models or files.
"""

import asyncio
import contextlib
import logging
import re
from collections.abc import Awaitable, Callable, Mapping
from enum import IntEnum
from time import monotonic, time
from typing import Any, Final, Protocol, TypeVar

from redis.exceptions import RedisError

from skhost.errors import JobNotFound, JobStateConflict, ServiceError
from skhost.jobs.launch import HANDED_BACK
from skhost.jobs.ledger import Claim, Ledger, StaleClaim, Write
from skhost.jobs.line import Line, StopReason, is_kept
from skhost.jobs.record import Job, JobState
from sktuning.errors import SKTuningError, TrainingCancelled

log = logging.getLogger(__name__)

T = TypeVar("T")

MAX_ATTEMPTS: Final = 5
POLL_S: Final = 0.2  # how soon cancelling and a newer claim are noticed
HEARTBEAT_S: Final = 2.0
STOP_GRACE_S: Final = 20.0  # a training asked to stop has so long for its last checkpoint
_LONGEST_PAUSE_S: Final = 30.0
_LAST_WRITES_S: Final = 2.0


class Work(Protocol):
    """What an attempt does; each stage may be cut off, and done again by the next attempt."""

    async def validate(self) -> dict[str, Any]:
        """Read and check the upload; returns the report on it."""

    async def train(self) -> None:
        """Train, from the checkpoint if there is one. Raises TrainingCancelled if asked to stop."""

    async def evaluate(self) -> None:
        """Save what was trained and score it against what answers now."""

    async def publish(self, token: int) -> dict[str, Any]:
        """Make it a version, once for the job however often it is called; returns the result."""

    def clear(self) -> None:
        """Remove what only going on would need."""


class Ending(IntEnum):
    """How an attempt ended: the exit code of its process."""

    DONE = 0  # succeeded, failed for good, cancelled, or someone else's by now
    TRY_AGAIN = 1
    HANDED_BACK = HANDED_BACK


class _Stopped(Exception):
    """The attempt was asked to stop."""


class Attempt:
    """One claim on a job, from its first stage to its end.

    Args:
        job: the record as it was when it was claimed.
    """

    def __init__(self, ledger: Ledger, job: Job, claim: Claim, line: Line) -> None:
        self._ledger = ledger
        self._job = job
        self._claim = claim
        self._line = line
        self._stop = asyncio.Event()
        self._over = asyncio.Event()
        self._last_step = int((job.progress or {}).get("step", 0))
        self._last_event_step = -1

    def stop(self, reason: StopReason) -> None:
        """Ask the attempt to stop; call it in the event loop."""
        self._line.stop(reason)
        self._stop.set()

    async def run(self, make_work: Callable[[], Work]) -> Ending:
        """Do the work; every ending is on the record when this returns."""
        watching = [asyncio.create_task(self._watch()), asyncio.create_task(self._report())]
        try:
            return await self._run(make_work)
        except StaleClaim:
            log.warning("job %s: another attempt has taken over", self._job.id)
            return Ending.DONE
        except (JobNotFound, JobStateConflict) as error:  # it was ended from outside
            log.warning("job %s: %s", self._job.id, error)
            return Ending.DONE
        except RedisError as error:
            log.error("job %s: Redis does not answer: %s", self._job.id, error)
            return Ending.HANDED_BACK
        finally:
            # Asked first and cancelled late: a cancellation that arrives while a connection is
            # being made can get lost in the Redis client.
            self._over.set()
            await asyncio.wait(watching, timeout=_LAST_WRITES_S)

    async def _run(self, make_work: Callable[[], Work]) -> Ending:
        try:
            await self._open()
            work = make_work()
            result = await self._stages(work)
            await self._end(JobState.SUCCEEDED, result=result)
        except _Stopped:
            return await self._stopped()
        except (StaleClaim, RedisError):
            raise
        except Exception as error:
            return await self._failed(error)
        try:
            work.clear()
        except (ServiceError, OSError) as error:  # the job has succeeded all the same
            log.warning("job %s: left-overs stay: %s", self._job.id, error)
        return Ending.DONE

    async def _open(self) -> None:
        claim = self._claim
        if claim.is_cancelled:
            self.stop(StopReason.CANCELLED)
            raise _Stopped
        if claim.attempt > MAX_ATTEMPTS:
            raise _GivenUp(self._job)
        data = {"state": JobState.VALIDATING, "attempt": claim.attempt}
        await self._write(event="state", data=data)

    async def _stages(self, work: Work) -> dict[str, Any]:
        report = await self._do(work.validate)
        await self._ledger.put_report(self._job.id, report)
        await self._enter(JobState.RUNNING)
        await self._do(work.train, grace_s=STOP_GRACE_S)
        await self._enter(JobState.EVALUATING)
        await self._do(work.evaluate)
        await self._enter(JobState.PUBLISHING)
        return await work.publish(self._claim.token)

    async def _enter(self, state: JobState) -> None:
        await self._flush()
        if self._line.reason is not None:
            raise _Stopped
        await self._write(state=state)

    async def _do(self, stage: Callable[[], Awaitable[T]], *, grace_s: float = 0.0) -> T:
        """Run a stage until it ends or the attempt is to stop; then it has `grace_s` to end."""
        task = asyncio.ensure_future(stage())
        stopping = asyncio.ensure_future(self._stop.wait())
        await asyncio.wait({task, stopping}, return_when=asyncio.FIRST_COMPLETED)
        stopping.cancel()
        if self._line.reason is None:
            return await task
        if grace_s and not task.done():
            await asyncio.wait({task}, timeout=grace_s)
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError, TrainingCancelled):
            if task.done():
                task.result()
        raise _Stopped

    async def _stopped(self) -> Ending:
        reason = self._line.reason
        log.info("job %s stops: %s", self._job.id, reason)
        if reason is StopReason.STALE:
            return Ending.DONE
        if reason is StopReason.LOST:
            return Ending.HANDED_BACK
        await self._flush()
        if reason is StopReason.CANCELLED:
            await self._end(JobState.CANCELLED)
            return Ending.DONE
        await self._give_back(attempt=self._claim.attempt - 1, why="its worker is shutting down")
        return Ending.HANDED_BACK

    async def _failed(self, error: Exception) -> Ending:
        message = " ".join(str(error).split()) or type(error).__name__
        if _is_final(error):
            found = _describe(error, message)
            log.info("job %s failed: %s", self._job.id, found["code"])  # the message quotes rows
            await self._end(JobState.FAILED, error=found)
            return Ending.DONE
        log.error("job %s: attempt %d", self._job.id, self._claim.attempt, exc_info=error)
        if self._claim.attempt >= MAX_ATTEMPTS:
            line = f"{type(error).__name__}: {message} (after {MAX_ATTEMPTS} attempts)"
            await self._end(JobState.FAILED, error={"code": "internal", "message": line})
            return Ending.DONE
        await self._pause()
        if self._line.reason is not None:
            return await self._stopped()
        why = f"{type(error).__name__}: {message}"
        await self._give_back(attempt=self._claim.attempt, why=why)
        return Ending.TRY_AGAIN

    async def _pause(self) -> None:
        """What failed may be away for a moment: wait longer each time, but not when stopping."""
        pause_s = min(2.0 ** (self._claim.attempt - 1), _LONGEST_PAUSE_S)
        await _within(self._stop, pause_s)

    async def _give_back(self, *, attempt: int, why: str) -> None:
        values = {"attempt": attempt, "queued_at": time()}
        await self._write(state=JobState.QUEUED, values=values, data={"message": why})

    async def _end(self, state: JobState, **values: Mapping[str, Any]) -> None:
        await self._write(state=state, values={**values, "finished_at": time()}, data=values)

    async def _write(self, **change: Any) -> None:
        write = Write(token=self._claim.token, **change)
        await self._ledger.write(self._job.id, self._job.name, write)

    async def _watch(self) -> None:
        """Notice a newer claim and the wish to cancel; show that this attempt lives."""
        beat_at = monotonic()
        with self._stopping_on_errors():
            while not self._over.is_set():
                token, is_cancelled = await self._ledger.signals(self._job.id)
                if token != self._claim.token:
                    self.stop(StopReason.STALE)
                    return
                if is_cancelled and self._line.reason is None:
                    self.stop(StopReason.CANCELLED)
                if monotonic() >= beat_at:
                    beat_at = monotonic() + HEARTBEAT_S
                    await self._write(values={"heartbeat_at": time()})
                await _within(self._over, POLL_S)

    async def _report(self) -> None:
        with self._stopping_on_errors():
            while not self._over.is_set():
                await self._flush()
                await _within(self._over, POLL_S)

    @contextlib.contextmanager
    def _stopping_on_errors(self) -> Any:
        try:
            yield
        except (StaleClaim, JobNotFound):
            self.stop(StopReason.STALE)
        except RedisError:
            self.stop(StopReason.LOST)

    async def _flush(self) -> None:
        """Write what the training reported: every write carries the token."""
        has_begun, resumed_from = self._line.take_beginning()
        if has_begun:
            await self._began(resumed_from)
        for values in self._line.take():
            event = None
            if is_kept(values, self._last_event_step):
                event, self._last_event_step = "progress", int(values.get("step", 0))
            await self._write(values={"progress": values}, event=event, data=values)

    async def _began(self, resumed_from: int | None) -> None:
        if resumed_from is None and self._last_step == 0:
            return
        lost = max(0, self._last_step - (resumed_from or 0))
        found = {"resumed_from": resumed_from or 0, "steps_lost": lost}
        data = {**found, "attempt": self._claim.attempt}
        log.info("job %s goes on from step %d, %d lost", self._job.id, resumed_from or 0, lost)
        await self._write(values=found, event="resumed", data=data)


async def _within(event: asyncio.Event, timeout_s: float) -> None:
    """Wait for the event, but not for longer."""
    with contextlib.suppress(TimeoutError):
        await asyncio.wait_for(event.wait(), timeout_s)


class _GivenUp(ServiceError):
    """Too many attempts ended without a word."""

    status, code = 422, "training_died"

    def __init__(self, job: Job) -> None:
        step = (job.progress or {}).get("step", 0)
        super().__init__(
            f"the training process was killed {MAX_ATTEMPTS} times, lately at step {step}; the "
            "machine may have too little memory for it. Resume the job to try again"
        )


def _is_final(error: Exception) -> bool:
    """Whether another attempt would fail in the same way."""
    if isinstance(error, ServiceError):
        return error.status < 500
    return isinstance(error, SKTuningError)


def _describe(error: Exception, message: str) -> dict[str, Any]:
    if isinstance(error, ServiceError):
        details = {} if error.details is None else {"details": error.details}
        return {"code": error.code, "message": message, **details}
    code = re.sub(r"(?<!^)(?=[A-Z])", "_", type(error).__name__).lower()
    return {"code": code, "message": message}
