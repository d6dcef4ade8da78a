"""`make demo`: the whole way once, with the commands and requests that anyone would use.

Starts the service, trains the adapter `sentiment` on our sample data, classifies with it, and stays
up until Ctrl-C or SIGTERM. With --exit it ends by itself; either way it exits non-zero if a step
failed.
"""

import argparse
import json
import os
import shlex
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType

from skhost import audit
from skhost.client import ApiError, Client

HERE = Path(__file__).parent
START_WITHIN_S = 120.0
STOP_WITHIN_S = 60.0
AUDITED = json.dumps({"logger": audit.LOGGER})[1:-1]
TEXTS = (
    "They fixed my bike while I waited, and it rides like new.",
    "Two weeks, four phone calls, and still no refund.",
    "The box holds twelve and is made of cardboard.",
    "Oh wonderful, another update that deletes my settings.",
)


class DemoFailed(Exception):
    """A step did not do what it should have done."""


def main(arguments: list[str]) -> int:
    """Run the demo; the exit code."""
    parser = argparse.ArgumentParser(prog="make demo", description="Train and serve an adapter.")
    parser.add_argument("--exit", action="store_true", help="end when all steps are done")
    parser.add_argument("--port", type=int, help="8080, or a free one where that is taken")
    options = parser.parse_args(arguments)
    started = time.monotonic()
    signal.signal(signal.SIGTERM, _end)
    try:
        with running_service(_free_port(options)) as (url, service):
            show(url)
            print(f"\nDone in {time.monotonic() - started:.0f} s.", end=" ", flush=True)
            if not options.exit:
                print(f"The service stays up: {url}/docs shows all of it. Ctrl-C ends it.")
                service.wait()
    except KeyboardInterrupt:
        print()
    except (ApiError, DemoFailed) as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    print("Nothing was left behind.")
    return 0


def _end(number: int, frame: FrameType | None) -> None:
    """End as Ctrl-C does, with the service; once is enough, for it may take a while to drain."""
    signal.signal(number, signal.SIG_IGN)
    raise SystemExit(128 + number)


def show(url: str) -> None:
    """Train, then classify."""
    data = os.path.relpath(HERE / "feedback.jsonl")
    run("train", data, "--name", "sentiment", "--url", url)
    run("classify", "--adapter", "sentiment", "--url", url, *TEXTS)
    body = json.dumps({"text": TEXTS[0]})
    path = "/classify?adapter=sentiment"
    print(f"\n$ curl '{url}{path}' -H 'Content-Type: application/json' -d '{body}'")
    with Client(url) as client:
        answer = client.request("POST", path, json={"text": TEXTS[0]})
    print(answer.text)


def run(*command: str) -> None:
    """Run a command of skhost where everybody sees it.

    Raises:
        DemoFailed: it exited with an error.
    """
    print(f"\n$ skhost {shlex.join(command)}", flush=True)
    code = subprocess.run([sys.executable, "-m", "skhost", *command], check=False).returncode
    if code != 0:
        raise DemoFailed(f"skhost {command[0]} exited with {code}")


@contextmanager
def running_service(port: int) -> Iterator[tuple[str, subprocess.Popen[str]]]:
    """`skhost up` on data of its own, ready to answer; stopped and cleaned up afterwards.

    Raises:
        DemoFailed: it did not start.
    """
    with tempfile.TemporaryDirectory(prefix="skhost-demo-") as folder:
        command = ["up", "--json", "--port", str(port), "--data-dir", folder]
        print(f"$ skhost {shlex.join(command)}", flush=True)
        service = subprocess.Popen(
            [sys.executable, "-m", "skhost", *command],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env={"SKHOST_LOG_LEVEL": "warning", **os.environ},
        )
        log = threading.Thread(target=_pass_on_log, args=(service,), daemon=True)
        log.start()
        try:
            yield _wait_until_ready(service), service
        finally:
            _stop(service)
            log.join(STOP_WITHIN_S)


def _pass_on_log(service: subprocess.Popen[str]) -> None:
    """Show what the service logs, but for the audit log: the demo says itself what it does."""
    assert service.stderr is not None
    for line in service.stderr:
        if AUDITED not in line:
            print(line, end="", file=sys.stderr, flush=True)


def _wait_until_ready(service: subprocess.Popen[str]) -> str:
    """The service's URL, once it answers there."""
    assert service.stdout is not None
    line = service.stdout.readline()
    if not line:
        raise DemoFailed("the service did not start; the lines above say why")
    url = str(json.loads(line)["url"])
    deadline = time.monotonic() + START_WITHIN_S
    with Client(url) as client:
        while not client.is_ready():
            if service.poll() is not None or time.monotonic() > deadline:
                raise DemoFailed("the service does not become ready; the lines above say why")
            time.sleep(0.2)
    print(f"ready at {url}")
    return url


def _stop(service: subprocess.Popen[str]) -> None:
    """Let the service drain, and be sure that it is gone."""
    service.terminate()
    try:
        service.wait(STOP_WITHIN_S)
    except subprocess.TimeoutExpired:
        service.kill()
        service.wait()


def _free_port(options: argparse.Namespace) -> int:
    """The port that was asked for; else 8080 if nobody has it; else any (0)."""
    if options.port is not None:
        return int(options.port)
    if options.exit:
        return 0
    with socket.socket() as probe:
        return 8080 if probe.connect_ex(("127.0.0.1", 8080)) != 0 else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
