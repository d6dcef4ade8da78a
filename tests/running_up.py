"""`skhost up` as a user runs it."""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import psutil
from live_server import wait_until

from skhost.client import Client
from skhost.settings import PREFIX

READY_WITHIN_S = 120.0
STOP_WITHIN_S = 60.0


@dataclass(frozen=True, slots=True)
class Up:
    """A running `skhost up`."""

    process: subprocess.Popen[str]
    url: str
    log: Path

    def child(self, command: str) -> psutil.Process | None:
        """The process of `skhost <command>`, if it runs."""
        for child in psutil.Process(self.process.pid).children():
            with suppress(psutil.NoSuchProcess):  # it ended meanwhile, or waits to be reaped
                if command in child.cmdline():
                    return child
        return None

    def stop(self, sig: signal.Signals = signal.SIGTERM) -> int:
        """Signal it and wait; its exit code."""
        self.process.send_signal(sig)
        return self.process.wait(STOP_WITHIN_S)


@contextmanager
def skhost_up(
    data_dir: Path, variables: Mapping[str, str] | None = None, **settings: str
) -> Iterator[Up]:
    """Start it on a free port; what is left at the end is stopped."""
    log = data_dir.with_suffix(".log")
    with log.open("a") as errors:
        process = subprocess.Popen(
            [
                *(sys.executable, "-m", "skhost", "up", "--json", "--port", "0"),
                *("--data-dir", str(data_dir)),
            ],
            stdout=subprocess.PIPE,
            stderr=errors,
            text=True,
            env=environment(settings) | dict(variables or {}),
        )
    try:
        assert process.stdout is not None
        with process.stdout as lines:
            first = lines.readline()
        assert first, log.read_text()
        up = Up(process, json.loads(first)["url"], log)
        with Client(up.url) as client:
            wait_until(lambda: client.is_ready() or process.poll() is not None, READY_WITHIN_S)
        assert process.poll() is None, log.read_text()
        yield up
    finally:
        process.terminate()
        process.wait(STOP_WITHIN_S)


def environment(settings: dict[str, str]) -> dict[str, str]:
    """This process's variables, with these settings and no others."""
    outer = {name: value for name, value in os.environ.items() if not name.startswith(PREFIX)}
    return outer | {f"{PREFIX}{name}".upper(): value for name, value in settings.items()}
