"""The real application under the real server, in a thread; adapters get in through its door."""

import asyncio
import faulthandler
import sys
import tempfile
import threading
from collections.abc import Coroutine, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from time import monotonic, sleep
from typing import Any, TypeVar

import httpx
from fastapi import FastAPI
from making import make_trained

from skhost.app import create_app
from skhost.archive import pack
from skhost.server import DrainingServer, bind, build_server, url_of
from skhost.services import Services
from skhost.settings import Settings
from sktuning import artifact
from sktuning.base import FrozenBase
from sktuning.config import Task

Returned = TypeVar("Returned")
START_WITHIN_S = 60.0


@dataclass(frozen=True, slots=True)
class LiveServer:
    """A server that answers, and its insides."""

    url: str
    app: FastAPI
    server: DrainingServer
    loop: asyncio.AbstractEventLoop

    @property
    def services(self) -> Services:
        """The composition."""
        services: Services = self.app.state.services
        return services

    @property
    def base(self) -> FrozenBase:
        """The base that it holds."""
        return self.services.engine.classifier.base

    def await_(self, work: Coroutine[Any, Any, Returned], timeout_s: float = 30.0) -> Returned:
        """Run a coroutine in the server's event loop."""
        return asyncio.run_coroutine_threadsafe(work, self.loop).result(timeout_s)


@contextmanager
def live_server(settings: Settings, app: FastAPI | None = None) -> Iterator[LiveServer]:
    """Serve from entry to exit, on the port of the settings unless that is the default one."""
    app = app or create_app(settings)
    server = build_server(app, app.state.drain)
    listener = bind("127.0.0.1", settings.port if "port" in settings.model_fields_set else 0)
    loop = asyncio.new_event_loop()

    def serve() -> None:
        with asyncio.Runner(loop_factory=lambda: loop) as runner:
            runner.run(server.serve(sockets=[listener]))

    url = url_of(listener)
    thread = threading.Thread(target=serve, name="live-server")
    thread.start()
    try:
        wait_until(lambda: server.started or not thread.is_alive(), START_WITHIN_S)
        assert server.started, "the application did not start"
        yield LiveServer(url, app, server, loop)
    finally:
        server.should_exit = True
        thread.join(60)
        if thread.is_alive():
            tell_what_runs(loop)
        assert not thread.is_alive(), "the server did not stop"


def tell_what_runs(loop: asyncio.AbstractEventLoop) -> None:
    """Every thread and every task of a loop, to stderr."""
    faulthandler.dump_traceback(2, all_threads=True)
    for task in asyncio.all_tasks(loop):
        task.print_stack(file=sys.__stderr__)


def wait_until(is_so: Any, within_s: float = 10.0) -> None:
    """Look again and again until it is so."""
    deadline = monotonic() + within_s
    while not is_so():
        assert monotonic() < deadline, f"not so after {within_s} s"
        sleep(0.01)


def archive_of(
    base: FrozenBase, target: Path, task: Task = Task.SINGLE_LABEL, *, seed: int = 0, **changes: Any
) -> Path:
    """An adapter of that base as a .tar.gz."""
    with tempfile.TemporaryDirectory() as folder:
        directory = Path(folder) / "artifact"
        artifact.save(directory, make_trained(base, task, seed=seed, **changes))
        with target.open("wb") as file:
            pack(directory, file)
    return target


def publish(
    live: LiveServer,
    name: str,
    task: Task = Task.SINGLE_LABEL,
    *,
    seed: int = 0,
    headers: dict[str, str] | None = None,
    **changes: Any,
) -> dict[str, Any]:
    """Import a new adapter and let it answer; its version as the service describes it."""
    with tempfile.TemporaryDirectory() as folder:
        archive = archive_of(live.base, Path(folder) / "a.tar.gz", task, seed=seed, **changes)
        answer = httpx.post(
            f"{live.url}/adapters/{name}/import?promote=true",
            content=archive.read_bytes(),
            headers={"Content-Type": "application/gzip", **(headers or {})},
            timeout=30,
        )
    assert answer.status_code == 201, answer.text
    version: dict[str, Any] = answer.json()
    return version


def error_of(answer: httpx.Response, status: int, code: str, *fragments: str) -> dict[str, Any]:
    """The body's error, known to be what it should be."""
    assert answer.status_code == status, answer.text
    assert set(answer.json()) == {"error"}
    error: dict[str, Any] = answer.json()["error"]
    assert error["code"] == code
    assert error["request_id"] == answer.headers["X-Request-ID"]
    for fragment in fragments:
        assert fragment in error["message"]
    return error
