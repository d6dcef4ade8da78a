"""Load on a server that speaks HTTP: the client process, and what the server spent meanwhile."""

import json
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import asdict
from pathlib import Path
from urllib.parse import urlsplit

import psutil

from serving_rungs.http_client import Outcome, Plan
from serving_rungs.turns import Sample

BENCHMARKS = Path(__file__).parents[1]
REFUSED = 429
OK = 200
LOOK_EVERY_S = 0.5
WHOLE_S = 600.0  # for every request once


class Load:
    """Requests to one server.

    Args:
        url: where it is.
        pid: of its process; its children count as the server, too.
        requests: path and body of each.
        rows: texts in each.
    """

    def __init__(
        self, url: str, pid: int, requests: Sequence[tuple[str, str]], rows: Sequence[int]
    ) -> None:
        self._host, self._port = _address(url)
        self._server = psutil.Process(pid)
        self._requests = requests
        self._rows = rows

    def closed(self, clients: int, seconds: float) -> Sample:
        """So many clients, each of which sends when it has its answer."""
        return self._run(self._plan(seconds, clients=clients))

    def once(self, clients: int) -> Sample:
        """Every request once."""
        return self._run(self._plan(WHOLE_S, clients=clients, count=len(self._requests)))

    def open(self, rows_per_s: float, seconds: float, seed: int) -> Sample:
        """Arrivals that wait for nobody, at times of a Poisson process."""
        rate = rows_per_s * len(self._rows) / sum(self._rows)
        return self._run(self._plan(seconds, rate=rate, seed=seed))

    def _plan(
        self,
        seconds: float,
        clients: int | None = None,
        rate: float = 0.0,
        seed: int = 0,
        count: int | None = None,
    ) -> Plan:
        return Plan(self._host, self._port, self._requests, seconds, clients, rate, seed, count)

    def _run(self, plan: Plan) -> Sample:
        used = cpu_s(self._server)
        with watched(self._server) as seen:
            outcome = send(plan)
        return self._sample(outcome, cpu_s(self._server) - used, seen)

    def _sample(self, outcome: Outcome, server_s: float, memory: Sequence[int]) -> Sample:
        answered = [s == OK for s in outcome.statuses]
        rows = sum(self._rows[n] for n, ok in zip(outcome.numbers, answered, strict=True) if ok)
        refused = sum(status == REFUSED for status in outcome.statuses)
        return Sample(
            rows=rows,
            seconds=outcome.seconds,
            cpu_s=server_s,
            client_cpu_s=outcome.cpu_s,
            latencies_s=[s for s, ok in zip(outcome.latencies_s, answered, strict=True) if ok],
            numbers=[n for n, ok in zip(outcome.numbers, answered, strict=True) if ok],
            requests=len(answered),
            refused=refused,
            failed=len(answered) - refused - sum(answered),
            memory_before=memory[0],
            memory_bytes=max(memory),
        )


def send(plan: Plan) -> Outcome:
    """Carry out a plan in a process of its own.

    Raises:
        RuntimeError: the client failed.
    """
    done = subprocess.run(
        [sys.executable, "-m", "serving_rungs.http_client"],
        cwd=BENCHMARKS,
        input=json.dumps(asdict(plan)),
        capture_output=True,
        text=True,
        check=False,
        timeout=plan.seconds + 300,
    )
    if done.returncode:
        raise RuntimeError(f"the client failed: {done.stderr[-2000:]}")
    return Outcome(**json.loads(done.stdout))


def cpu_s(server: psutil.Process) -> float:
    """Processor time of a server and its children so far."""
    return sum(_each(server, lambda process: sum(process.cpu_times()[:2])))


@contextmanager
def watched(server: psutil.Process) -> Iterator[Sequence[int]]:
    """A server's memory from now on, looked at now and then until the block ends."""
    seen, done = [memory_bytes(server)], threading.Event()

    def look() -> None:
        while not done.wait(LOOK_EVERY_S):
            seen.append(memory_bytes(server))

    thread = threading.Thread(target=look)
    thread.start()
    try:
        yield seen
    finally:
        done.set()
        thread.join()
        seen.append(memory_bytes(server))


def memory_bytes(server: psutil.Process) -> int:
    """Resident memory of a server and its children."""
    return int(sum(_each(server, lambda process: process.memory_info().rss)))


def _each(server: psutil.Process, figure: Callable[[psutil.Process], float]) -> Iterator[float]:
    """A figure of the server and of those of its children that have not ended meanwhile."""
    yield figure(server)
    for child in server.children(recursive=True):
        with suppress(psutil.NoSuchProcess):  # or a zombie, which is one
            yield figure(child)


def _address(url: str) -> tuple[str, int]:
    parts = urlsplit(url)
    if parts.hostname is None or parts.port is None:
        raise ValueError(f"{url} has no host or no port")
    return parts.hostname, parts.port
