"""A training job's record: its states, which may follow which, and its values."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, fields
from enum import StrEnum
from types import MappingProxyType
from typing import Any, Final, Self

from skhost.jobs.request import TrainRequest, Upload, known_fields


class JobState(StrEnum):
    """Where a job is."""

    QUEUED = "queued"
    VALIDATING = "validating"
    RUNNING = "running"
    EVALUATING = "evaluating"
    PUBLISHING = "publishing"
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    CANCELLED = "cancelled"


TERMINAL: Final = frozenset({JobState.SUCCEEDED, JobState.FAILED, JobState.CANCELLED})
WORKING: Final = frozenset(
    {JobState.VALIDATING, JobState.RUNNING, JobState.EVALUATING, JobState.PUBLISHING}
)
RESUMABLE: Final = frozenset({JobState.FAILED, JobState.CANCELLED})

# A working job goes back to validating when a new attempt claims it, and back to queued when its
# worker hands it back. What is being published can no longer be cancelled, only rolled back.
TRANSITIONS: Final[Mapping[JobState, frozenset[JobState]]] = MappingProxyType(
    {
        JobState.QUEUED: frozenset({JobState.VALIDATING, JobState.CANCELLED}),
        JobState.VALIDATING: frozenset(
            {
                JobState.VALIDATING,
                JobState.RUNNING,
                JobState.QUEUED,
                JobState.FAILED,
                JobState.CANCELLED,
            }
        ),
        JobState.RUNNING: frozenset(
            {
                JobState.VALIDATING,
                JobState.EVALUATING,
                JobState.QUEUED,
                JobState.FAILED,
                JobState.CANCELLED,
            }
        ),
        JobState.EVALUATING: frozenset(
            {
                JobState.VALIDATING,
                JobState.PUBLISHING,
                JobState.QUEUED,
                JobState.FAILED,
                JobState.CANCELLED,
            }
        ),
        JobState.PUBLISHING: frozenset(
            {JobState.VALIDATING, JobState.SUCCEEDED, JobState.QUEUED, JobState.FAILED}
        ),
        JobState.SUCCEEDED: frozenset(),
        JobState.FAILED: frozenset({JobState.QUEUED}),
        JobState.CANCELLED: frozenset({JobState.QUEUED}),
    }
)


def sources_of(state: JobState) -> frozenset[JobState]:
    """The states from which a job may come into `state`."""
    return frozenset(source for source, targets in TRANSITIONS.items() if state in targets)


@dataclass(frozen=True, slots=True)
class JobError:
    """Why a job failed."""

    code: str
    message: str
    details: dict[str, Any] | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Job:
    """A training job as Redis has it now; never kept, always read again.

    Attributes:
        attempt: training processes that have claimed it since it was submitted or resumed.
        fence: the token of the newest claim; smaller ones are stale.
        dispatch: number of the queue entry that may claim it.
        progress: the newest step: "step", "num_steps", "loss", "metrics", "eta_s", ….
        resumed_from: step of the checkpoint that the newest attempt went on from.
        steps_lost: steps that had been reported beyond that checkpoint.
        dataset: what the upload held.
        result: "version", "digest", "metrics", "promoted" and "note" (why, or why not).
        waiting_for_worker: queued, and no worker is there to take it.
        traceparent: of the request that made it, where that was traced.
    """

    id: str
    name: str
    tenant: str
    state: JobState
    request: TrainRequest
    uploads: tuple[Upload, ...]
    created_at: float
    queued_at: float
    dispatch: int = 1
    attempt: int = 0
    fence: int = 0
    started_at: float | None = None
    finished_at: float | None = None
    heartbeat_at: float | None = None
    worker: str | None = None
    progress: dict[str, Any] | None = None
    resumed_from: int | None = None
    steps_lost: int | None = None
    dataset: dict[str, Any] | None = None
    result: dict[str, Any] | None = None
    error: JobError | None = None
    cancel_requested: bool = False
    waiting_for_worker: bool = False
    message: str | None = None
    traceparent: str | None = None

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON values, without what concerns the queue only."""
        values = {f.name: getattr(self, f.name) for f in fields(self) if f.name not in _INTERNAL}
        values["request"] = self.request.to_dict()
        values["uploads"] = [upload.to_dict() for upload in self.uploads]
        values["error"] = None if self.error is None else _error_dict(self.error)
        return values

    @classmethod
    def from_hash(cls, stored: Mapping[str, str], **extra: Any) -> Self:
        """The record that `to_hash` wrote; `extra` are values kept under keys of their own."""
        values = {name: _decode(name, text) for name, text in stored.items() if name in _STORED}
        values["state"] = JobState(values["state"])
        values["request"] = TrainRequest.from_dict(values["request"])
        uploads = (known_fields(Upload, upload) for upload in values["uploads"])
        values["uploads"] = tuple(Upload(**upload) for upload in uploads)
        if values.get("error") is not None:
            values["error"] = JobError(**known_fields(JobError, values["error"]))
        return cls(**values, **extra)

    def to_hash(self) -> dict[str, str]:
        """Fields for a Redis hash; what is None is left out."""
        values = {name: getattr(self, name) for name in _STORED}
        values["request"] = self.request.to_dict()
        values["uploads"] = [upload.to_dict() for upload in self.uploads]
        values["error"] = None if self.error is None else _error_dict(self.error)
        return encode({name: value for name, value in values.items() if value is not None})


# Kept under keys of their own, or found when the record is read.
_APART: Final = frozenset({"fence", "dataset", "cancel_requested", "waiting_for_worker", "message"})
_INTERNAL: Final = frozenset({"dispatch", "fence", "traceparent"})
_STORED: Final = frozenset(f.name for f in fields(Job)) - _APART
_TEXT: Final = frozenset({"id", "name", "tenant", "state", "worker"})  # stored as they are


def encode(values: Mapping[str, Any]) -> dict[str, str]:
    """Values as the record's hash keeps them: names and the state as they are, others as JSON."""
    return {n: str(v) if n in _TEXT else json.dumps(v) for n, v in values.items()}


def _decode(name: str, text: str) -> Any:
    return text if name in _TEXT else json.loads(text)


def _error_dict(error: JobError) -> dict[str, Any]:
    details = {} if error.details is None else {"details": error.details}
    return {"code": error.code, "message": error.message, **details}
