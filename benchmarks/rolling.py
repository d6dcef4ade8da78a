"""Servers replaced one after another under load, as a rolling upgrade does, and one taken away.

Servers on one registry and one store answer eight clients, which send without a pause. As in a
Kubernetes Service, a *connection* goes to one of the servers that are known to be ready, and stays
with it; where it is closed, the next goes to any. A new server is started and ready before an old
one goes (the chart's `maxSurge` 1, `maxUnavailable` 0). One that goes leaves the known ones a
while after it was told to (`--known-after`), gets SIGTERM after `--pre-stop`, and has
SKHOST_LEAVE_S=`--leave` to tell its clients to connect elsewhere. At the end one goes for good.

A request that is *refused* got 503 with `Retry-After` and is sent again; none may be lost, fail or
be answered wrongly.
"""

import argparse
import os
import random
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

from faulty.load import CLIENTS, Load, Outcome, Tally, Truth, make_adapters
from local_service import running
from report import report

from skhost.client import Client
from skhost.valkey import EmbeddedValkey

ANSWERS_BETWEEN = 5 * CLIENTS  # before a server goes, and after the last one
WITHIN_S = 120.0
_OUTCOMES = {
    "answered": (Outcome.RIGHT,),
    "refused": (Outcome.REFUSED,),
    "lost": (Outcome.LOST,),
    "not_accepted": (Outcome.NOT_ACCEPTED,),
    "rejected": (Outcome.REJECTED,),
    "wrong": (Outcome.WRONG, Outcome.STALE),
}
_COUNTED = ("sent", *_OUTCOMES, "failed")
_BAD = ("lost", "not_accepted", "rejected", "wrong", "failed")


@dataclass(frozen=True, slots=True)
class Pace:
    """How a server goes, in seconds from the moment that it is told to."""

    known_after_s: float
    pre_stop_s: float


@dataclass(frozen=True, slots=True)
class Server:
    """A server of the fleet, and what stops it."""

    url: str
    start_s: float
    life: ExitStack


class Fleet:
    """The servers that are ready, oldest first, and where the next connection goes."""

    def __init__(self, settings: Mapping[str, str], pace: Pace) -> None:
        self.servers: list[Server] = []
        self._settings = settings
        self._pace = pace
        self._chosen = random.Random(0)
        self._lock = threading.Lock()

    def start(self) -> Server:
        """One more, known once it is ready."""
        life = ExitStack()
        service = life.enter_context(running("serve", settings=self._settings))
        server = Server(service.url, service.start_s, life)
        with self._lock:
            self.servers.append(server)
        return server

    def retire(self, server: Server) -> float:
        """Have it go; seconds from SIGTERM to its end."""
        time.sleep(self._pace.known_after_s)
        with self._lock:
            self.servers.remove(server)
        time.sleep(max(0.0, self._pace.pre_stop_s - self._pace.known_after_s))
        began = time.monotonic()
        server.life.close()
        return time.monotonic() - began

    def next_url(self) -> str:
        """Where a new connection goes."""
        with self._lock:
            return self._chosen.choice(self.servers).url

    def close(self) -> None:
        """Stop all."""
        for server in self.servers:
            server.life.close()


def main(arguments: Sequence[str]) -> int:
    """Run; 1 if a request was lost, failed or answered wrongly."""
    options = _options(arguments)
    with _fleet(options) as fleet:
        rows = measure(fleet, options.replacements or options.replicas)
    total = {"what": "all", **{name: sum(row[name] for row in rows) for name in _COUNTED}}
    title = f"rolling upgrade of {options.replicas} servers ({os.cpu_count()} processors)"
    report(title, [*rows, total], options.json)
    return int(any(total[name] for name in _BAD))


def _options(arguments: Sequence[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="benchmarks/rolling.py", description=__doc__)
    parser.add_argument("--replicas", type=int, default=2)
    parser.add_argument("--replacements", type=int, help="of one server; all of them by default")
    parser.add_argument("--pre-stop", type=float, default=5, metavar="S", help="before SIGTERM")
    parser.add_argument("--known-after", type=float, default=1, metavar="S")
    parser.add_argument("--leave", type=float, default=5, metavar="S", help="after SIGTERM")
    parser.add_argument("--base", help="base model; the packaged one by default")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the rows here too")
    return parser.parse_args(arguments)


def measure(fleet: Fleet, replacements: int) -> list[dict[str, Any]]:
    """A row for each server that went, while clients sent without a pause."""
    truths = _truths(fleet)
    steps: list[dict[str, Any]] = []
    load = Load(fleet.next_url, truths)
    with load.running() as tally:
        _wait_for_answers(tally)
        marks = [_counts(tally)]
        for number in range(replacements + 1):
            is_last = number == replacements
            begun = {"what": "taken away"} if is_last else _replacement(fleet)
            steps.append(begun | {"drain_s": round(fleet.retire(fleet.servers[0]), 2)})
            _wait_for_answers(tally)
            marks.append(_counts(tally))
    marks[-1] = _counts(tally)  # with what was under way
    seen = [{k: after[k] - before[k] for k in after} for before, after in pairwise(marks)]
    return [step | row for step, row in zip(steps, seen, strict=True)]


def _replacement(fleet: Fleet) -> dict[str, Any]:
    return {"what": "replaced", "start_s": round(fleet.start().start_s, 2)}


def _truths(fleet: Fleet) -> dict[str, Truth]:
    """What the adapters say, which every server knows."""
    with Client(fleet.servers[0].url) as client:
        truths = make_adapters(client)
    _wait(
        lambda: all(_known(server.url) >= truths.keys() for server in fleet.servers),
        "not every server knows the adapters",
    )
    return truths


def _known(url: str) -> set[str]:
    with Client(url) as client:
        return {adapter["name"] for adapter in client.adapters()["adapters"]}


def _counts(tally: Tally) -> dict[str, int]:
    of = {name: tally.of(*outcomes) for name, outcomes in _OUTCOMES.items()}
    return {"sent": tally.sent, **of, "failed": tally.failed}


def _wait_for_answers(tally: Tally) -> None:
    wanted = tally.of(Outcome.RIGHT) + ANSWERS_BETWEEN
    _wait(lambda: tally.of(Outcome.RIGHT) >= wanted, "the clients got no answers")


def _wait(is_so: Callable[[], bool], otherwise: str) -> None:
    deadline = time.monotonic() + WITHIN_S
    while not is_so():
        if time.monotonic() > deadline:
            raise TimeoutError(otherwise)
        time.sleep(0.05)


@contextmanager
def _fleet(options: argparse.Namespace) -> Iterator[Fleet]:
    with ExitStack() as stack:
        home = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="skhost-rolling-")))
        registry = stack.enter_context(EmbeddedValkey(home / "registry"))
        settings = {
            "SKHOST_REDIS_URL": registry.url,
            "SKHOST_STORE_URL": f"file://{home}/store",
            "SKHOST_LEAVE_S": str(options.leave),
            **({} if options.base is None else {"SKHOST_BASE": options.base}),
        }
        fleet = Fleet(settings, Pace(options.known_after, options.pre_stop))
        stack.callback(fleet.close)
        for _ in range(options.replicas):
            fleet.start()
        yield fleet


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
