"""Workers as processes, and ways to wait for a job."""

import asyncio
import subprocess
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from time import monotonic
from typing import TypeVar

import counting
import psutil

from skhost.jobs import Event, Job, Jobs, JobState
from skhost.jobs.launch import training_environment
from skhost.settings import Settings

T = TypeVar("T")
COUNTING = (str(counting.__file__), "worker")
SKHOST = ("-m", "skhost", "worker")


class Workers:
    """Starts workers as processes; what is left of them is killed at the end."""

    def __init__(self, settings: Settings) -> None:
        self._environment = training_environment(settings)
        self._processes: list[psutil.Popen] = []

    def start(self, program: tuple[str, ...] = COUNTING) -> psutil.Popen:
        """A worker; its trainings count unless another program is given."""
        process = psutil.Popen(
            [sys.executable, *program], env=self._environment, stderr=subprocess.DEVNULL
        )
        self._processes.append(process)
        return process

    def trainers(self) -> list[psutil.Process]:
        """Training processes that run now, whoever their parent is by now."""
        marked = []
        for process in psutil.process_iter(["cmdline", "environ"]):
            environ = process.info["environ"] or {}
            ours = environ.get("SKHOST_DATA_DIR") == self._environment["SKHOST_DATA_DIR"]
            if ours and len(process.info["cmdline"] or []) >= 6:
                marked.append(process)
        return marked

    async def trainers_now(self) -> list[psutil.Process]:
        """The same, to be awaited."""
        return self.trainers()

    def end(self) -> None:
        """Kill what runs."""
        for process in self._processes:
            if process.poll() is None:
                process.kill()
            process.wait()


async def until(
    look: Callable[[], Awaitable[T]], is_it: Callable[[T], bool], *, within_s: float = 15.0
) -> T:
    """Look again and again until what is seen is right; what was seen then."""
    deadline = monotonic() + within_s
    while not is_it(seen := await look()):
        assert monotonic() < deadline, f"after {within_s} s it is still {seen}"
        await asyncio.sleep(0.02)
    return seen


async def reached(jobs: Jobs, job_id: str, state: JobState, *, within_s: float = 15.0) -> Job:
    """The job once it is in `state`."""
    return await until(lambda: jobs.get(job_id), lambda job: job.state is state, within_s=within_s)


async def at_step(jobs: Jobs, job_id: str, step: int, *, within_s: float = 15.0) -> Job:
    """The job once its training has reported `step`."""

    def there(job: Job) -> bool:
        return job.state is JobState.RUNNING and (job.progress or {}).get("step", 0) >= step

    return await until(lambda: jobs.get(job_id), there, within_s=within_s)


async def collected(stream: AsyncIterator[Event]) -> list[Event]:
    """All events of a stream that ends."""
    return [event async for event in stream]


async def emptied(folder: Path, *, within_s: float = 15.0) -> None:
    """When nothing is left in the folder: a job's process tidies up after the job has ended."""

    async def left() -> list[str]:
        return [path.name for path in folder.iterdir()]

    await until(left, lambda names: not names, within_s=within_s)
