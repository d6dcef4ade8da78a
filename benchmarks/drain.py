"""SIGTERM at full load, again and again: what becomes of the requests that were sent.

Each time a server is started, eight clients send without a pause, and SIGTERM comes when they have
had answers. They go on sending until the process is gone. Every request that was sent whole must
be answered: with its result, or with 503 and `Retry-After`. With --train a training runs all the
time beside it in a worker that gets SIGTERM, too: it must go on each time and end as one version.
"""

import argparse
import os
import signal
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import psutil
from faulty.load import CLIENTS, Load, Outcome, make_adapters
from local_service import RunningService, running
from report import report

from skhost.client import Client

FEEDBACK = Path(__file__).parent.parent / "examples" / "feedback.jsonl"
ANSWERS_FIRST = 5 * CLIENTS  # before the signal
WITHIN_S = 600.0
TRAINED = "trained"


def main(arguments: list[str]) -> int:
    """Run; 1 if a request was lost, failed or answered wrongly, or the job was."""
    parser = argparse.ArgumentParser(prog="benchmarks/drain.py", description=__doc__)
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the rows here too")
    parser.add_argument("--times", type=int, default=20, help="how often SIGTERM is sent")
    parser.add_argument("--train", action="store_true", help="with a worker and a training")
    parser.add_argument("--epochs", type=int, default=60, help="of the training")
    parser.add_argument("--base", help="base model; the packaged one by default")
    options = parser.parse_args(arguments)
    settings = {} if options.base is None else {"SKHOST_BASE": options.base}
    command = "up" if options.train else "serve"
    rows: list[dict[str, Any]] = []
    with tempfile.TemporaryDirectory(prefix="skhost-drain-") as folder:
        job = ""
        for number in range(1, options.times + 1):
            with running(command, data_dir=Path(folder), settings=settings) as service:
                job = job or _job(service, options)
                rows.append({"time": number, **_once(service, job)})
            print({k: v for k, v in rows[-1].items() if v}, flush=True)
        ending = {}
        if options.train:
            with running(command, data_dir=Path(folder), settings=settings) as service:
                ending = _end_of(service, job)
    total = {"time": "all", **{name: sum(row[name] for row in rows) for name in _COUNTED}, **ending}
    report(f"SIGTERM at full load ({os.cpu_count()} processors)", [*rows, total], options.json)
    bad = total["lost"] + total["wrong"] + total["rejected"]
    return 1 if bad or ending.get("job", "succeeded") != "succeeded" else 0


_COUNTED = ("sent", "answered", "refused", "lost", "wrong", "rejected", "not_accepted")


def _job(service: RunningService, options: argparse.Namespace) -> str:
    if not options.train:
        return ""
    with Client(service.url) as client:
        return str(client.train(FEEDBACK, TRAINED, epochs=options.epochs, patience=0)["id"])


def _once(service: RunningService, job: str) -> dict[str, Any]:
    with Client(service.url) as client:
        truths = make_adapters(client)
        step = _training_goes_on(client, job) if job else 0
    load = Load(service.url, truths)
    with load.running() as tally:
        _wait(lambda: tally.of(Outcome.RIGHT) >= ANSWERS_FIRST, "the clients got no answers")
        os.kill(service.pid, signal.SIGTERM)
        began = time.monotonic()
        _wait(lambda: _is_gone(service.pid), "the service did not end")
        drain_s = time.monotonic() - began
    row: dict[str, Any] = {
        "sent": tally.sent,
        "answered": tally.of(Outcome.RIGHT),
        "refused": tally.of(Outcome.REFUSED),
        "lost": tally.of(Outcome.LOST),
        "wrong": tally.of(Outcome.WRONG, Outcome.STALE),
        "rejected": tally.of(Outcome.REJECTED),
        "not_accepted": tally.of(Outcome.NOT_ACCEPTED),
        "drain_s": round(drain_s, 2),
    }
    return row | ({"training_at_step": step} if job else {})


def _training_goes_on(client: Client, job: str) -> int:
    """The step at which the training is once it is under way in this service."""
    before = _step(client, job)
    _wait(lambda: client.job(job)["is_terminal"] or _step(client, job) > before, "it stands still")
    return _step(client, job)


def _step(client: Client, job: str) -> int:
    return int((client.job(job)["progress"] or {}).get("step", 0))


def _end_of(service: RunningService, job: str) -> dict[str, Any]:
    with Client(service.url) as client:
        _wait(lambda: client.job(job)["is_terminal"], "the training does not end")
        ended = client.job(job)
        versions = len(client.adapter(TRAINED)["versions"])
    return {"job": ended["state"], "versions": versions, "steps_lost": ended["steps_lost"]}


def _is_gone(pid: int) -> bool:
    try:
        return psutil.Process(pid).status() == psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return True


def _wait(is_so: Any, otherwise: str) -> None:
    deadline = time.monotonic() + WITHIN_S
    while not is_so():
        if time.monotonic() > deadline:
            raise RuntimeError(otherwise)
        time.sleep(0.05)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
