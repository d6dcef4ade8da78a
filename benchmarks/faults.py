"""What happens to a training when something is killed in the middle of it.

Starts the whole service with data of its own, and for each fault trains an adapter, strikes when
part of the training is done, and follows the job to its end: how long until training goes on, how
many steps had to be done again, how many trainers were ever seen at once, and how many versions
came of the one job.
"""

import argparse
import os
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil
from children import children_of
from local_service import RunningService, running
from report import report

from skhost.client import Client, Event

FEEDBACK = Path(__file__).parent.parent / "examples" / "feedback.jsonl"
GOES_ON_WITHIN_S = 20.0
SAMPLE_S = 0.2


@dataclass(frozen=True, slots=True)
class Fault:
    """Something that strikes.

    Attributes:
        is_victim: finds the process, given its command line and the job's id.
        replaces: whether another training process has to take over.
    """

    name: str
    is_victim: Callable[[list[str], str], bool]
    sig: signal.Signals = signal.SIGKILL
    replaces: bool = True


def _is_trainer(line: list[str], job_id: str) -> bool:
    return "skhost.jobs.run" in line and job_id in line


def _is_worker(line: list[str], job_id: str) -> bool:
    return line[1:4] == ["-m", "skhost", "worker"]


def _is_valkey(line: list[str], job_id: str) -> bool:
    return "valkey-server" in line[0]  # it rewrites its command line into one word


FAULTS = {
    "trainer": Fault("kill -9 of the training process", _is_trainer),
    "worker": Fault("kill -9 of the worker", _is_worker),
    "sigterm": Fault("SIGTERM to the worker", _is_worker, signal.SIGTERM),
    "valkey": Fault("kill -9 of Valkey", _is_valkey, replaces=False),
}


class Trainers:
    """Counts training processes of one job, again and again."""

    def __init__(self, job_id: str) -> None:
        self.most = 0
        self._job_id = job_id
        self._over = threading.Event()

    @contextmanager
    def watched(self) -> Iterator[None]:
        """Count until the block ends."""
        thread = threading.Thread(target=self._count)
        thread.start()
        try:
            yield
        finally:
            self._over.set()
            thread.join()

    def _count(self) -> None:
        while not self._over.wait(SAMPLE_S):
            lines = [p.info["cmdline"] or [] for p in psutil.process_iter(["cmdline"])]
            now = sum(_is_trainer(line, self._job_id) for line in lines)
            self.most = max(self.most, now)


def strike(fault: Fault, service: RunningService, job_id: str) -> float:
    """Send the signal to one process; the time of it."""
    for child in children_of(service.pid):
        if fault.is_victim(child.line, job_id):
            child.process.send_signal(fault.sig)
            return time.time()
    raise RuntimeError(f"no process found for: {fault.name}")


def suffer(fault: Fault, service: RunningService, client: Client, number: int, epochs: int) -> Any:
    """One training with one fault in it; a row of the table."""
    name = f"fault-{number}"
    job = client.train(FEEDBACK, name, epochs=epochs, patience=0)
    began, struck_at, goes_on_at, fence = time.monotonic(), 0.0, 0.0, 0
    trainers = Trainers(job["id"])
    with trainers.watched():
        for event in client.events(job["id"]):
            if event.kind != "progress":
                continue
            if not struck_at and event.data["step"] >= 0.4 * event.data["num_steps"]:
                fence, struck_at = event.data["fence"], strike(fault, service, job["id"])
            elif struck_at and not goes_on_at and _is_after(event, fault, struck_at, fence):
                goes_on_at = _written_at(event)
    job = client.job(job["id"])
    return {
        "fault": fault.name,
        "ends": job["state"],
        "goes_on_after_s": round(goes_on_at - struck_at, 1),
        "attempts": job["attempt"],
        "resumed_from": job["resumed_from"],
        "steps_lost": job["steps_lost"] or 0,
        "steps": job["progress"]["num_steps"],
        "trainers_at_once": trainers.most,
        "publishes": len(client.adapter(name)["versions"]),
        "whole_s": round(time.monotonic() - began, 1),
    }


def _is_after(event: Event, fault: Fault, struck_at: float, fence: int) -> bool:
    return event.data["fence"] > fence if fault.replaces else _written_at(event) > struck_at


def _written_at(event: Event) -> float:
    return int(str(event.id).split("-")[0]) / 1000


def is_good(row: dict[str, Any]) -> bool:
    """Whether the job was what it should be: it went on in time, once, to one version."""
    goes_on = 0 < row["goes_on_after_s"] <= GOES_ON_WITHIN_S
    once = row["trainers_at_once"] <= 1 and row["publishes"] == 1
    return bool(row["ends"] == "succeeded" and goes_on and once)


def main(arguments: list[str]) -> int:
    """Run all faults; 1 if a job did not come through one as it should."""
    parser = argparse.ArgumentParser(prog="benchmarks/faults.py", description=__doc__)
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the rows here too")
    parser.add_argument("--only", nargs="+", choices=FAULTS, default=list(FAULTS))
    parser.add_argument("--epochs", type=int, default=8, help="of each training")
    parser.add_argument("--base", help="base model; the packaged one by default")
    options = parser.parse_args(arguments)
    settings = {} if options.base is None else {"SKHOST_BASE": options.base}
    with running(settings=settings) as service, Client(service.url) as client:
        rows = []
        for number, key in enumerate(options.only, start=1):
            fault = FAULTS[key]
            rows.append(suffer(fault, service, client, number, options.epochs))
            print(f"{fault.name}: goes on after {rows[-1]['goes_on_after_s']} s", flush=True)
    report(f"Faults in mid-training ({os.cpu_count()} processors)", rows, options.json)
    return 0 if all(map(is_good, rows)) else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
