"""A service of a benchmark's own, on a free loopback port and with data of its own."""

import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from skhost.client import Client

START_WITHIN_S = 180.0
STOP_WITHIN_S = 60.0


@dataclass(frozen=True, slots=True)
class RunningService:
    """A service that answers.

    Attributes:
        url: where.
        pid: of the process that was started (for `up` the supervisor).
        data_dir: what it keeps.
        start_s: seconds from start to ready.
    """

    url: str
    pid: int
    data_dir: Path
    start_s: float


@contextmanager
def running(
    command: str = "up",
    *,
    data_dir: Path | None = None,
    settings: Mapping[str, str] | None = None,
    prefix: Sequence[str] = (),
) -> Iterator[RunningService]:
    """`skhost up` or `skhost serve`, ready to answer; stopped afterwards.

    Args:
        prefix: a command that becomes the one behind it, such as `nsenter`.

    Raises:
        RuntimeError: it did not start.
    """
    with tempfile.TemporaryDirectory(prefix="skhost-bench-") as folder:
        home = data_dir or Path(folder)
        arguments = [command, "--json", "--port", "0", "--data-dir", str(home)]
        began = time.monotonic()
        process = subprocess.Popen(
            [*prefix, sys.executable, "-m", "skhost", *arguments],
            stdout=subprocess.PIPE,
            text=True,
            env={**os.environ, "SKHOST_LOG_LEVEL": "warning", **(settings or {})},
        )
        try:
            url = _wait_until_ready(process)
            yield RunningService(url, process.pid, home, time.monotonic() - began)
        finally:
            _stop(process)


def _wait_until_ready(process: subprocess.Popen[str]) -> str:
    assert process.stdout is not None
    line = process.stdout.readline()
    if not line:
        raise RuntimeError("the service did not start")
    url = str(json.loads(line)["url"])
    deadline = time.monotonic() + START_WITHIN_S
    with Client(url) as client:
        while not client.is_ready():
            if process.poll() is not None or time.monotonic() > deadline:
                raise RuntimeError("the service did not become ready")
            time.sleep(0.1)
    return url


def _stop(process: subprocess.Popen[str]) -> None:
    process.terminate()
    try:
        process.wait(STOP_WITHIN_S)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
    if process.stdout is not None:
        process.stdout.close()
