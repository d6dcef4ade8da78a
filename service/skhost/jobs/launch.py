"""From a queue entry to a fresh training process, and from its end back to RQ.

Runs in RQ's work horse, a fork of the worker that never touches torch: the training process is
started anew, because a fork of a process that has used torch's threads hangs.
"""

import ctypes
import logging
import os
import signal
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from types import FrameType
from typing import Any, Final

from rq import Retry
from rq.job import Job as Entry

from skhost import processors
from skhost.jobs.queue import CARRY_ON
from skhost.keys import tenant_of_queue
from skhost.settings import PREFIX, Settings

log = logging.getLogger(__name__)

PROGRAM: Final = (sys.executable, "-m", "skhost.jobs.run")
HANDED_BACK: Final = 75  # EX_TEMPFAIL: the job should go on elsewhere
_PR_SET_PDEATHSIG: Final = 1


class TrainingProcessDied(Exception):
    """The training process ended in a way that asks for another attempt."""


@dataclass(frozen=True, slots=True)
class Launcher:
    """Starts training processes.

    Attributes:
        program: command line; job id, dispatch, worker and parent's pid are appended.
        environment: of the process; how settings reach it, since a command line can be read by all.
    """

    program: tuple[str, ...]
    environment: Mapping[str, str]

    def run(self, tenant: str, job_id: str, dispatch: int, worker: str) -> Retry | None:
        """Train a tenant's job in a process of its own; returns what RQ shall do with the entry.

        Raises:
            TrainingProcessDied: it was killed or crashed; RQ brings the entry again at once.
        """
        started: list[subprocess.Popen[bytes]] = []
        is_to_end = False

        def pass_on(signum: int, frame: FrameType | None) -> None:
            nonlocal is_to_end
            is_to_end = True
            for process in started:
                process.terminate()

        signal.signal(signal.SIGTERM, pass_on)
        command = [*self.program, job_id, str(dispatch), worker, str(os.getpid())]
        environment = {**self.environment, f"{PREFIX}TENANT": tenant}
        # in a session of its own, which can give way to a server's
        with subprocess.Popen(command, env=environment, start_new_session=True) as process:
            started.append(process)
            if is_to_end:
                process.terminate()
            code = process.wait()
        if code == 0:
            return None
        if code in (HANDED_BACK, -signal.SIGTERM):
            return CARRY_ON
        raise TrainingProcessDied(f"the training process of job {job_id} ended with {code}")


def entry_class(launcher: Launcher, worker: str) -> type[Entry]:
    """An RQ job class that can do one thing only, whatever function its data names."""

    class TrainingEntry(Entry):  # type: ignore[misc]  # rq is not followed
        def perform(self) -> Any:
            job_id, dispatch = self.args
            tenant = tenant_of_queue(self.origin)
            return launcher.run(tenant, str(job_id), int(dispatch), worker)

    return TrainingEntry


def training_environment(settings: Settings) -> dict[str, str]:
    """This process' environment, with the settings as they are now and a cap on threads."""
    values = settings.model_dump(mode="json", exclude_none=True, exclude={"admin_key"})
    ours = {f"{PREFIX}{name}".upper(): _text(value) for name, value in values.items()}
    kept = {n: v for n, v in os.environ.items() if not n.upper().startswith(PREFIX)}
    threads = settings.worker_threads or processors.available()
    capped = {"OMP_NUM_THREADS": str(threads), "MKL_NUM_THREADS": str(threads)}
    return kept | ours | capped


def die_with(parent: int) -> None:
    """Have the kernel kill this process when its parent dies; at once if that has happened.

    Two trainers on one job were seen when only the worker was killed.
    """
    ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
    if os.getppid() != parent:
        log.error("the parent %d is gone; ending", parent)
        os._exit(HANDED_BACK)


def _text(value: Any) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)
