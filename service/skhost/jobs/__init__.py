"""Training jobs: their records, their queue, and the processes that do the work."""

from skhost.jobs.events import Event
from skhost.jobs.jobs import JobPage, Jobs, WorkerStatus
from skhost.jobs.record import TERMINAL, Job, JobError, JobState
from skhost.jobs.request import Gate, TrainRequest, Upload

__all__ = [
    "TERMINAL",
    "Event",
    "Gate",
    "Job",
    "JobError",
    "JobPage",
    "JobState",
    "Jobs",
    "TrainRequest",
    "Upload",
    "WorkerStatus",
]
