"""Servers on one registry and one store: how soon a version promoted on one is served by all.

Starts the servers as processes with data folders of their own, so that they share nothing else,
and gives them an adapter in two versions. With --hosts each is a host with an address of its own,
and so is the registry; one is cut off by losing what the registry sends it, which nobody is told.
Checked: every request is answered; once a server has answered with the new version it never goes
back; a server that is cut off from the registry goes on answering with what it has, and has the
newest version again after it is reconnected.
"""

import argparse
import statistics
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol
from urllib.parse import unquote

from hosts import INSIDE, Route, hosts, registry_on, run_in_own_network
from local_service import running
from redis import Redis
from report import report

from skhost.client import ApiError, Client
from skhost.valkey import EmbeddedValkey

ADAPTER = "mood"
TEXT = "It arrived early and works."
WITHIN_S = 60.0


@dataclass(slots=True)
class Tally:
    """What was seen."""

    requests: int = 0
    failed: int = 0
    went_back: int = 0


class Way(Protocol):
    """How the last server reaches the registry."""

    def cut(self) -> None:
        """Let nothing through."""

    def mend(self) -> None:
        """Let through."""


@dataclass(frozen=True, slots=True)
class Place:
    """Where a server runs."""

    redis_url: str
    prefix: Sequence[str] = ()
    settings: Mapping[str, str] = field(default_factory=dict)


class Link:
    """A second path to the registry's socket, which can be cut."""

    def __init__(self, url: str, path: Path) -> None:
        self._url = url
        self._socket = Path(unquote(url.removeprefix("unix://")))
        self._path = path
        self.mend()

    @property
    def url(self) -> str:
        """The registry by this path."""
        return f"unix://{self._path}"

    def mend(self) -> None:
        """Let through."""
        self._path.symlink_to(self._socket)

    def cut(self) -> None:
        """Let nothing through, and end what is open; who has another path connects again."""
        self._path.unlink()
        with Redis.from_url(self._url) as admin:
            for kind in ("normal", "pubsub"):
                admin.client_kill_filter(_type=kind, skipme=True)


def main(arguments: Sequence[str]) -> int:
    """Run the benchmark; non-zero if anything that was checked did not hold."""
    parser = argparse.ArgumentParser(prog="benchmarks/replicas.py", description=__doc__)
    parser.add_argument("--replicas", type=int, default=3)
    parser.add_argument("--promotions", type=int, default=50)
    parser.add_argument("--cuts", type=int, default=3, help="times one server is cut off")
    parser.add_argument("--store", help="fsspec URL of the store; a folder by default")
    parser.add_argument("--hosts", action="store_true", help="a network namespace each; needs root")
    parser.add_argument(INSIDE, action="store_true", help=argparse.SUPPRESS)
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the row here too")
    options = parser.parse_args(arguments)
    if options.hosts and not options.inside:
        return run_in_own_network(__file__, arguments)
    with _replicas(options) as (clients, way):
        row = measure(clients, way, options.promotions, options.cuts)
    report("one registry, several servers", [row], options.json)
    return int(any(row[name] for name in ("failed_requests", "went_back")))


def measure(clients: Sequence[Client], way: Way, promotions: int, cuts: int) -> dict[str, Any]:
    """Promote back and forth on the first server and watch the others; the figures."""
    tally, served_ms = Tally(), []
    for number in range(promotions):
        wanted = 1 + number % 2
        served_ms.append(_promoted(clients, wanted, tally))
        for client in clients:
            tally.went_back += _version(client, tally) != wanted
    caught_up_ms = [
        _cut_off(clients, way, 1 + (promotions - 1 + number) % 2, tally) for number in range(cuts)
    ]
    return {
        "replicas": len(clients),
        "promotions": promotions,
        "requests": tally.requests,
        "failed_requests": tally.failed,
        "went_back": tally.went_back,
        "served_by_all_p50_ms": statistics.median(served_ms),
        "served_by_all_max_ms": max(served_ms),
        "times_cut_off": cuts,
        "caught_up_max_ms": max(caught_up_ms, default=None),
    }


def _promoted(clients: Sequence[Client], wanted: int, tally: Tally) -> float:
    """Milliseconds from the promotion's answer until the last of the servers had the version."""
    clients[0].promote(ADAPTER, wanted)
    return _served_ms(clients, wanted, tally)


def _cut_off(clients: Sequence[Client], way: Way, before: int, tally: Tally) -> float:
    """Cut the last server off, promote on the first, reconnect; milliseconds to catch up."""
    *others, cut = clients
    way.cut()
    for wanted in (3 - before, before, 3 - before):
        _promoted(others, wanted, tally)
        tally.went_back += _version(cut, tally) != before
    way.mend()
    return _served_ms([cut], 3 - before, tally)


def _served_ms(clients: Sequence[Client], wanted: int, tally: Tally) -> float:
    began = time.monotonic()
    with ThreadPoolExecutor(len(clients)) as pool:
        ended = pool.map(lambda client: _wait_for(client, wanted, tally), clients)
        return (max(ended) - began) * 1000


def _wait_for(client: Client, wanted: int, tally: Tally) -> float:
    """Ask until the answer is of the version; the time of that."""
    deadline = time.monotonic() + WITHIN_S
    while _version(client, tally) != wanted:
        if time.monotonic() > deadline:
            raise TimeoutError(f"a server did not get version {wanted} in {WITHIN_S:.0f} s")
    return time.monotonic()


def _version(client: Client, tally: Tally) -> int | None:
    """The version that answers; None if none does."""
    tally.requests += 1
    try:
        return int(client.classify(ADAPTER, text=TEXT)["version"])
    except ApiError as error:
        print(f"failed: {error}", file=sys.stderr)
        tally.failed += 1
        return None


@contextmanager
def _replicas(options: argparse.Namespace) -> Iterator[tuple[list[Client], Way]]:
    """Clients of the servers, and the way by which the last one has its registry."""
    with ExitStack() as stack:
        home = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="skhost-r-")))
        kind = _hosts if options.hosts else _processes
        places, way = stack.enter_context(kind(options.replicas, home))
        clients = []
        for place in places:
            settings = {
                "SKHOST_REDIS_URL": place.redis_url,
                "SKHOST_STORE_URL": options.store or f"file://{home}/store",
                **place.settings,
            }
            service = stack.enter_context(running("serve", settings=settings, prefix=place.prefix))
            clients.append(stack.enter_context(Client(service.url)))
        _make_versions(clients, home)
        yield clients, way


@contextmanager
def _processes(count: int, home: Path) -> Iterator[tuple[list[Place], Way]]:
    with EmbeddedValkey(home / "registry") as registry:
        link = Link(registry.url, home / "link")
        yield [*[Place(registry.url)] * (count - 1), Place(link.url)], link


@contextmanager
def _hosts(count: int, home: Path) -> Iterator[tuple[list[Place], Way]]:
    with hosts(count + 1) as (first, *others), registry_on(first, home / "registry") as url:
        places = [
            Place(
                url,
                host.prefix,
                {"SKHOST_HOST": host.address, "SKHOST_ALLOW_REMOTE": "true"},
            )
            for host in others
        ]
        yield places, Route(first, others[-1])


def _make_versions(clients: Sequence[Client], home: Path) -> None:
    """Give the adapter two versions, and every server both."""
    first = clients[0]
    for number, name in enumerate((ADAPTER, "other")):
        first.create(name, ["positive", "negative"], {"positive": [f"good, {number}"]})
    first.export("other", home / "other.tar.gz")
    first.import_archive(ADAPTER, home / "other.tar.gz")
    tally = Tally()
    for wanted in (2, 1, 2):
        _promoted(clients, wanted, tally)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
