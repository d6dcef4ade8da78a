"""A worker whose trainings count: real steps, real checkpoints, no model.

Everything around the work is the service's own: claim, fence, heartbeats, signals, endings. The
adapter's name says how it behaves.
"""

import asyncio
import json
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from threading import Event
from typing import Any

from skhost.errors import UploadRefused
from skhost.exits import leave
from skhost.jobs.context import Context
from skhost.jobs.run import main
from skhost.settings import Settings
from skhost.worker import run_worker
from sktuning.errors import TrainingCancelled

NUM_STEPS = 20
STEPS_BY_NAME = {"endless": 100_000, "long": 60}  # how an adapter's name begins
STEP_S = 0.04
STEPS_A_CHECKPOINT = 5


class Counting:
    """Counts to NUM_STEPS, with a checkpoint every few steps."""

    def __init__(self, context: Context) -> None:
        self._context = context
        self._executor = ThreadPoolExecutor(1)
        folder = context.settings.data_dir / "checkpoints" / context.job.id
        self._checkpoint = folder / "count.json"

    async def validate(self) -> dict[str, Any]:
        """Refuses an upload if told to."""
        if self._context.job.name.startswith("refused"):
            raise UploadRefused("2 rows cannot be used", details={"problems": ["row 3: no label"]})
        return {"num_rows": NUM_STEPS}

    async def train(self) -> None:
        """Count, in a thread as the real training does."""
        await asyncio.get_running_loop().run_in_executor(self._executor, self._count)

    async def evaluate(self) -> None:
        """Fails the first times if told to."""
        if self._context.job.name.startswith("broken"):
            raise OSError("the disk is full")

    async def publish(self, token: int) -> dict[str, Any]:
        """Leaves a trace of every publish."""
        await self._context.redis.rpush(f"published:{self._context.job.id}", token)
        return {"version": 1, "steps": NUM_STEPS}

    def clear(self) -> None:
        """Remove the checkpoint."""
        self._checkpoint.unlink(missing_ok=True)

    def _count(self) -> None:
        line, start = self._context.line, self._load()
        line.begin(start or None)
        num_steps = STEPS_BY_NAME.get(self._context.job.name.split("-")[0], NUM_STEPS)
        for step in range(start + 1, num_steps + 1):
            if line.should_stop():
                self._save(step - 1)
                raise TrainingCancelled(f"stopped before step {step}")
            Event().wait(STEP_S)  # a step's work
            if step % STEPS_A_CHECKPOINT == 0:
                self._save(step)
            line.progress({"step": step, "num_steps": num_steps, "loss": 1 / step})

    def _load(self) -> int:
        return json.loads(self._checkpoint.read_text()) if self._checkpoint.exists() else 0

    def _save(self, step: int) -> None:
        self._checkpoint.parent.mkdir(parents=True, exist_ok=True)
        part = self._checkpoint.with_suffix(".part")
        part.write_text(json.dumps(step))
        part.replace(self._checkpoint)


PROGRAM = (sys.executable, str(Path(__file__).resolve()), "train")

if __name__ == "__main__":
    if sys.argv[1] == "worker":
        run_worker(Settings(), program=PROGRAM)
    else:
        leave(main(sys.argv[2:], Counting))
