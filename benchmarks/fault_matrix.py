"""Every fault under load: what its users, its trainings and its operators see of it.

For each fault a whole service is started with data of its own; eight clients classify without a
pause and a training runs. Then the fault strikes. Clients send again what was refused or lost, as
their users are told to. A row: requests that failed for good; answers that were wrong, or of
another version; jobs that were lost (did not end well) or doubled (versions beyond one of the job);
and the seconds from the strike until every request succeeds at once, the server is ready with
nothing degraded, and the training goes on or has ended. Seconds include how long the fault lasted.

Memory is changed and threads are held from outside (/proc, ptrace) and a full disk is a tmpfs, for
which it needs to be root. Clocks are moved by a library that a C compiler has to make first.
"""

import argparse
import contextlib
import os
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from faulty import clock
from faulty.faults import FAULTS, SETTINGS, Fault
from faulty.load import CLIENTS, SLOW_S, Load, Outcome, Tally, make_adapters
from faulty.stage import LOOK_EVERY_S, Stage, wait
from local_service import running
from report import report

from skhost.client import ApiError, Client

FEEDBACK = Path(__file__).parent.parent / "examples" / "feedback.jsonl"
TRAINED = "trained"
QUIET_S = 3.0  # without trouble: back to normal
DISK_MIB = 192


def main(arguments: list[str]) -> int:
    """Run; 1 if a request failed, an answer was wrong, or a job was lost or doubled."""
    parser = argparse.ArgumentParser(prog="benchmarks/fault_matrix.py", description=__doc__)
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the rows here too")
    parser.add_argument("--only", nargs="+", choices=FAULTS, default=list(FAULTS))
    parser.add_argument("--epochs", type=int, default=8, help="of each training")
    parser.add_argument("--base", help="base model; the packaged one by default")
    options = parser.parse_args(arguments)
    rows: list[dict[str, Any]] = []
    for key in options.only:
        fault = FAULTS[key]
        if fault.needs == "clock" and not clock.is_possible():
            print(f"{fault.name}: left out, there is no C compiler", flush=True)
            continue
        rows.append(_suffer(fault, options))
        print(rows[-1], flush=True)
        report(f"Faults under load ({os.cpu_count()} processors)", rows, options.json)
    return 0 if all(map(is_good, rows)) else 1


def is_good(row: dict[str, Any]) -> bool:
    """Whether nothing was lost, wrong or doubled."""
    return not any(row[name] for name in ("failed", "wrong", "jobs_lost", "jobs_doubled"))


def _suffer(fault: Fault, options: argparse.Namespace) -> dict[str, Any]:
    with ExitStack() as stack:
        data = stack.enter_context(_folder(fault))
        environment = _environment(fault, data, options)
        service = stack.enter_context(running("up", data_dir=data, settings=environment))
        client = stack.enter_context(Client(service.url))
        truths = make_adapters(client)
        job = client.train(FEEDBACK, TRAINED, epochs=options.epochs, patience=0)["id"]
        tally = stack.enter_context(Load(service.url, truths).running())
        stage = Stage(service, client, tally, job, environment)
        wait(lambda: stage.step() > 0, "the training does not begin")
        wait(lambda: tally.of(Outcome.RIGHT) > 5 * CLIENTS, "nothing is answered")
        before, at_step = tally.of(Outcome.RIGHT), stage.step()
        watch = stack.enter_context(_watching(stage, at_step))
        began = time.monotonic()
        with fault.strike(stage):
            struck_s = time.monotonic() - began
            began = time.monotonic()
        normal_s = _until_normal(stage, watch) - began
        wait(stage.job_is_over, "the training does not end")
        return _row(fault, stage, before, max(normal_s, 0.0), struck_s)


@dataclass(slots=True)
class _Watch:
    """What an operator sees."""

    trouble_at: float = 0.0  # monotonic: when the server was last not ready or the job stood still


@contextmanager
def _watching(stage: Stage, at_step: int) -> Iterator[_Watch]:
    watch, over = _Watch(), threading.Event()

    def look() -> None:
        while not over.wait(LOOK_EVERY_S):
            began = time.monotonic()
            is_well = stage.is_ready() and _goes_on(stage, at_step)
            if not is_well or time.monotonic() - began > SLOW_S:
                watch.trouble_at = time.monotonic()

    thread = threading.Thread(target=look)
    thread.start()
    try:
        yield watch
    finally:
        over.set()
        thread.join()


def _until_normal(stage: Stage, watch: _Watch) -> float:
    """When there was trouble for the last time (monotonic), known after a while without any."""

    def last() -> float:
        return max(watch.trouble_at, stage.tally.last_trouble_at)

    ended = time.monotonic()
    wait(lambda: time.monotonic() > max(last(), ended) + QUIET_S, "it does not become normal")
    return last()


def _goes_on(stage: Stage, at_step: int) -> bool:
    try:
        return stage.job_is_over() or stage.step() > at_step
    except ApiError:
        return False


def _row(
    fault: Fault, stage: Stage, before: int, normal_s: float, struck_s: float
) -> dict[str, Any]:
    tally, job = stage.tally, stage.client.job(stage.job_id)
    versions = stage.client.adapter(TRAINED)["versions"] if job["state"] == "succeeded" else []
    made = [version for version in versions if version["job_id"] == stage.job_id]
    return {
        "fault": fault.name,
        "answered": tally.of(Outcome.RIGHT) - before,
        "sent_again": tally.of(
            Outcome.REFUSED, Outcome.REJECTED, Outcome.LOST, Outcome.NOT_ACCEPTED
        ),
        "failed": tally.failed,
        "wrong": tally.of(Outcome.WRONG, Outcome.STALE),
        "jobs_lost": int(job["state"] != "succeeded"),
        "jobs_doubled": max(0, len(made) - 1),
        "attempts": job["attempt"],
        "steps_lost": job["steps_lost"] or 0,
        "normal_after_s": round(normal_s, 1),
        "strike_s": round(struck_s, 1),
        "seen": _seen(tally),
    }


def _seen(tally: Tally) -> str:
    with tally.lock:
        return "; ".join(dict.fromkeys(tally.others))[:300]


def _environment(fault: Fault, data: Path, options: argparse.Namespace) -> dict[str, str]:
    settings = dict(SETTINGS)
    if options.base is not None:
        settings["SKHOST_BASE"] = str(options.base)
    if fault.needs == "clock":
        settings |= clock.environment(data)
    return settings


@contextmanager
def _folder(fault: Fault) -> Iterator[Path]:
    """Where the service keeps its data; a small filesystem of its own where that is to be full."""
    with tempfile.TemporaryDirectory(prefix="skhost-fault-") as folder:
        if fault.needs != "disk":
            yield Path(folder)
            return
        size = f"size={DISK_MIB}m"
        subprocess.run(["mount", "-t", "tmpfs", "-o", size, "skhost-fault", folder], check=True)
        try:
            yield Path(folder)
        finally:
            with contextlib.suppress(subprocess.CalledProcessError):
                subprocess.run(["umount", "--lazy", folder], check=True)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
