"""The containers' health check, run as the containers run it."""

import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import pytest
from redis import Redis

from skhost.keys import CommonKeys

HEALTH = Path(__file__).parents[2] / "deploy" / "image" / "health.py"


class Answering(BaseHTTPRequestHandler):
    """Answers with the status that its server holds, and keeps the path that was asked for."""

    def do_GET(self) -> None:
        server = self.server
        assert isinstance(server, Probed)
        server.asked.append(self.path)
        self.send_response(server.status)
        self.end_headers()

    def log_message(self, format: str, *args: object) -> None:
        """Nothing: the test's output stays its own."""


class Probed(HTTPServer):
    """A server on a free port whose readiness the test decides."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Answering)
        self.status = 200
        self.asked: list[str] = []


@pytest.fixture
def probed() -> Iterator[Probed]:
    with Probed() as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield server
        server.shutdown()
        thread.join()


def check(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, str(HEALTH), *arguments],
        env=environment,
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )


def test_a_ready_server_is_healthy_whatever_proxy_is_set(probed: Probed) -> None:
    proxies = {"http_proxy": "http://127.0.0.1:9", "HTTP_PROXY": "http://127.0.0.1:9"}
    done = check("server", SKHOST_PORT=str(probed.server_port), **proxies)
    assert (done.returncode, done.stderr) == (0, "")
    assert probed.asked == ["/readyz"]


def test_a_server_can_be_asked_by_its_url(probed: Probed) -> None:
    assert check("server", f"http://127.0.0.1:{probed.server_port}").returncode == 0


def test_a_server_that_is_not_ready_is_unhealthy(probed: Probed) -> None:
    probed.status = 503
    done = check("server", SKHOST_PORT=str(probed.server_port))
    assert done.returncode == 1
    assert "503" in done.stderr


def test_a_server_that_does_not_listen_is_unhealthy() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))  # bound but not listening: nobody else takes it
        done = check("server", SKHOST_PORT=str(taken.getsockname()[1]))
    assert done.returncode == 1
    assert "no answer" in done.stderr


@pytest.fixture
def beats(valkey_url: str) -> Iterator[Redis]:
    """The registry, with no worker's heartbeat in it."""
    with Redis.from_url(valkey_url) as client:
        client.delete(CommonKeys().workers())
        yield client
        client.delete(CommonKeys().workers())


def test_a_worker_with_a_fresh_heartbeat_is_healthy(beats: Redis, valkey_url: str) -> None:
    beats.zadd(CommonKeys().workers(), {f"{socket.gethostname()}-7-abcd": time.time()})
    done = check("worker", SKHOST_REDIS_URL=valkey_url)
    assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.parametrize(
    "heartbeats",
    [{}, {f"{socket.gethostname()}-7-abcd": 1e9}, {"another-host-7-abcd": 9e9}],
    ids=["none", "old", "of another worker"],
)
def test_a_worker_without_one_is_unhealthy(
    beats: Redis, valkey_url: str, heartbeats: dict[str, float]
) -> None:
    if heartbeats:
        beats.zadd(CommonKeys().workers(), heartbeats)
    done = check("worker", SKHOST_REDIS_URL=valkey_url)
    assert done.returncode == 1
    assert "no heartbeat" in done.stderr


def test_a_worker_is_not_killed_because_its_registry_is_away(tmp_path: Path) -> None:
    done = check("worker", SKHOST_REDIS_URL=f"unix://{tmp_path}/nobody.sock")
    assert done.returncode == 0
