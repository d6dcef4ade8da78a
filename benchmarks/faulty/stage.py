"""A running service with load and a training, and how to find its parts."""

import json
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil
from children import children_of
from local_service import RunningService

from faulty.load import Tally
from skhost.client import ApiError, Client

WITHIN_S = 600.0
LOOK_EVERY_S = 0.2
ROLES: dict[str, Callable[[list[str]], bool]] = {
    "server": lambda line: line[1:4] == ["-m", "skhost", "serve"],
    "worker": lambda line: line[1:4] == ["-m", "skhost", "worker"],
    "trainer": lambda line: "skhost.jobs.run" in line,
    "valkey": lambda line: "valkey-server" in line[0],
}


@dataclass(slots=True)
class Stage:
    """What a fault is injected into.

    Attributes:
        environment: that the service was started with.
    """

    service: RunningService
    client: Client
    tally: Tally
    job_id: str
    environment: dict[str, str]

    @property
    def store(self) -> Path:
        """The store's folder."""
        return self.service.data_dir / "store"

    @property
    def valkey_socket(self) -> str:
        """Where the registry listens."""
        record = json.loads((self.service.data_dir / "valkey" / "server.json").read_text())
        return str(record["socket"])

    def process(self, role: str) -> psutil.Process:
        """The process with this role."""
        found = self.processes(role)
        if not found:
            raise RuntimeError(f"there is no {role}")
        return found[0]

    def processes(self, role: str) -> list[psutil.Process]:
        """All of the service's processes with this role."""
        is_one = ROLES[role]
        return [child.process for child in children_of(self.service.pid) if is_one(child.line)]

    def artifact_of(self, adapter: str) -> Path:
        """The folder of the artifact that answers."""
        digest = self.client.classify(adapter, text="a")["digest"].removeprefix("sha256:")
        (folder,) = self.store.glob(f"*/adapters/sha256/{digest}")
        return folder

    def step(self) -> int:
        """Where the training is."""
        return int((self.client.job(self.job_id)["progress"] or {}).get("step", 0))

    def is_ready(self) -> bool:
        """Whether the server is ready, and nothing degraded."""
        try:
            answer = self.client.request("GET", "/readyz", timeout=10.0)
        except ApiError:
            return False
        return bool(answer.json()["degraded"] == [])

    def job_is_over(self) -> bool:
        """Whether the training has ended."""
        try:
            return bool(self.client.job(self.job_id)["is_terminal"])
        except ApiError:
            return False


def wait(is_so: Callable[[], Any], otherwise: str) -> None:
    """Look again and again until it is so."""
    deadline = time.monotonic() + WITHIN_S
    while not is_so():
        if time.monotonic() > deadline:
            raise RuntimeError(otherwise)
        time.sleep(LOOK_EVERY_S)
