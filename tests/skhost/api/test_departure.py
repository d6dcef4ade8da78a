"""Overload, deadlines, draining, clients that leave, and a registry that is away."""

import asyncio
import json
import socket
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest
from live_server import LiveServer, error_of, live_server, publish, wait_until

from skhost.settings import Settings
from skhost.valkey import EmbeddedValkey

Serve = Callable[..., AbstractContextManager[LiveServer]]


@pytest.fixture
def serve(tiny_bert_folder: Path, tmp_path: Path) -> Serve:
    """Starts servers on one data directory, with the adapter `mood`."""

    @contextmanager
    def serve(**settings: Any) -> Iterator[LiveServer]:
        made = Settings(**{"data_dir": tmp_path, "base": str(tiny_bert_folder), **settings})
        with live_server(made) as live:
            if not httpx.get(f"{live.url}/adapters").json()["adapters"]:
                publish(live, "mood")
            yield live

    return serve


@contextmanager
def held_device(live: LiveServer) -> Iterator[None]:
    """The device thread is busy until the block ends."""
    release, busy = threading.Event(), threading.Event()

    def hold() -> None:
        busy.set()
        assert release.wait(30)

    runner = live.services.engine.readiness._runner
    holding = asyncio.run_coroutine_threadsafe(runner.call(hold), live.loop)
    try:
        wait_until(busy.is_set)
        yield
    finally:
        release.set()
        holding.result(30)


def post(live: LiveServer, num_texts: int = 1) -> httpx.Response:
    body = {"texts": ["good"] * num_texts}
    return httpx.post(f"{live.url}/classify?adapter=mood", json=body, timeout=30)


def active(live: LiveServer) -> int:
    """Requests that are being answered."""
    return int(live.app.state.drain.active)


def test_a_full_queue_refuses_early_and_says_when_to_come_back(serve: Serve) -> None:
    with serve(max_waiting_items=4) as live, ThreadPoolExecutor(8) as pool:
        with held_device(live):
            sent: list[Future[httpx.Response]] = []
            for count in range(1, 7):  # the first ones get into batches, the rest has to wait
                sent.append(pool.submit(post, live, 3))
                wait_until(lambda n=count: active(live) >= n or any(f.done() for f in sent))
            wait_until(lambda: any(f.done() for f in sent))
        answers = [future.result(30) for future in sent]
        refused = [answer for answer in answers if answer.status_code != 200]
        assert 0 < len(refused) < len(answers)
        for answer in refused:
            error_of(answer, 429, "overloaded")
            assert int(answer.headers["Retry-After"]) >= 1


def test_more_than_can_ever_wait_is_too_large(serve: Serve) -> None:
    with serve(max_waiting_items=4) as live:
        error_of(post(live, 5), 413, "payload_too_large")


def test_a_deadline_passes_with_504(serve: Serve) -> None:
    with serve(request_timeout_s=0.3) as live, held_device(live):
        error_of(post(live), 504, "deadline_exceeded", "was not answered within its time")


def test_a_client_that_leaves_is_dropped_before_it_costs_anything(serve: Serve) -> None:
    with serve() as live:
        body = json.dumps({"text": "good"}).encode()
        host, port = live.url.removeprefix("http://").split(":")
        with held_device(live):
            with socket.create_connection((host, int(port))) as leaver:
                head = (
                    f"POST /classify?adapter=mood HTTP/1.1\r\nHost: {host}:{port}\r\n"
                    f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
                )
                leaver.sendall(head.encode() + body)
                wait_until(lambda: active(live) == 1)
            wait_until(lambda: active(live) == 0)
        text = httpx.get(f"{live.url}/metrics").text
        assert 'skhost_requests_total{code="499",route="/classify"} 1.0' in text
        assert post(live).status_code == 200


def test_a_drain_finishes_what_was_accepted_and_refuses_the_rest(serve: Serve) -> None:
    with serve(drain_timeout_s=20) as live, ThreadPoolExecutor(1) as pool:
        with held_device(live):
            accepted = pool.submit(post, live)
            wait_until(lambda: active(live) == 1)
            live.app.state.drain.begin()
            late = post(live)
            error_of(late, 503, "draining", "send the request again")
            assert late.headers["Retry-After"] == "2"
            assert late.headers["Connection"] == "close"
            error_of(httpx.get(f"{live.url}/readyz"), 503, "draining")
            assert httpx.get(f"{live.url}/livez").status_code == 200
            assert httpx.get(f"{live.url}/info").json()["draining"] is True
        assert accepted.result(30).status_code == 200
        wait_until(lambda: live.loop.is_closed())


def test_a_server_that_leaves_answers_all_and_sends_its_clients_elsewhere(serve: Serve) -> None:
    body = {"text": "good"}
    with serve(leave_s=1000) as live, httpx.Client(base_url=live.url, timeout=30) as http:
        assert "Connection" not in http.post("/classify?adapter=mood", json=body).headers
        live.app.state.drain.begin()
        answer = http.post("/classify?adapter=mood", json=body)  # on the same connection
        assert (answer.status_code, answer.headers["Connection"]) == (200, "close")
        error_of(http.get("/readyz"), 503, "draining")
        assert http.get("/livez").status_code == 200
        assert http.get("/info").json()["draining"] is False
        assert post(live).status_code == 200  # on a new one: not everyone knows that it leaves
        live.app.state.drain.begin(at_once=True)
        wait_until(lambda: live.loop.is_closed())


def test_a_drain_that_takes_too_long_ends(serve: Serve) -> None:
    with serve(drain_timeout_s=0.2) as live, ThreadPoolExecutor(1) as pool:
        with held_device(live):
            accepted = pool.submit(post, live)
            wait_until(lambda: active(live) == 1)
            live.app.state.drain.begin()
            wait_until(lambda: live.server.should_exit)
        assert accepted.exception(30) is not None or accepted.result().status_code in {200, 503}


def test_an_event_stream_does_not_hold_a_drain_up(serve: Serve) -> None:
    rows = "".join(f'{{"text": "t {i}", "label": "l{i % 2}"}}\n' for i in range(20))
    with serve(drain_timeout_s=20) as live:
        files = {"file": ("a.jsonl", rows.encode())}
        job = httpx.post(f"{live.url}/train", data={"name": "n"}, files=files).json()
        with httpx.stream("GET", f"{live.url}/train/{job['id']}/events", timeout=15) as stream:
            assert next(stream.iter_lines()).startswith("id: ")
            assert active(live) == 0
            live.app.state.drain.begin()
            wait_until(lambda: live.loop.is_closed(), 15)


def test_known_adapters_answer_while_the_registry_is_away(serve: Serve, tmp_path: Path) -> None:
    with EmbeddedValkey(tmp_path / "registry") as valkey, serve(redis_url=valkey.url) as live:
        before = post(live).json()
        valkey.stop()
        listed = httpx.get(f"{live.url}/adapters", timeout=30)
        error_of(listed, 503, "registry_unavailable", "does not answer")
        assert int(listed.headers["Retry-After"]) >= 1
        wait_until(lambda: httpx.get(f"{live.url}/readyz", timeout=30).json()["degraded"] != [])
        assert post(live).json()["results"] == before["results"]
        unknown = httpx.post(f"{live.url}/classify?adapter=x", json={"text": "a"}, timeout=30)
        error_of(unknown, 503, "registry_unavailable")
        valkey.start()
        wait_until(lambda: httpx.get(f"{live.url}/readyz", timeout=30).json()["degraded"] == [])
        assert httpx.get(f"{live.url}/adapters").json()["adapters"][0]["name"] == "mood"


def test_a_restart_keeps_adapters_aliases_and_jobs(serve: Serve) -> None:
    rows = "".join(f'{{"text": "t {i}", "label": "l{i % 2}"}}\n' for i in range(20))
    with serve() as live:
        before = post(live).json()
        files = {"file": ("a.jsonl", rows.encode())}
        job = httpx.post(f"{live.url}/train", data={"name": "n"}, files=files).json()
        httpx.put(f"{live.url}/adapters/mood/aliases/canary", json={"version": 1})
    with serve() as live:
        assert post(live).json()["results"] == before["results"]
        assert httpx.get(f"{live.url}/train/{job['id']}").json()["state"] == "queued"
        adapter = httpx.get(f"{live.url}/adapters/mood").json()
        assert adapter["aliases"] == {"canary": 1, "prod": 1}


def test_a_second_server_sees_a_promotion_within_a_second(serve: Serve, tmp_path: Path) -> None:
    with (
        EmbeddedValkey(tmp_path / "registry") as valkey,
        serve(redis_url=valkey.url) as one,
        serve(redis_url=valkey.url) as other,
    ):
        publish(one, "mood", seed=5)
        httpx.post(f"{one.url}/adapters/mood/promote", json={"version": 1})
        wait_until(lambda: post(other).json()["version"] == 1, 1.0)
        httpx.post(f"{one.url}/adapters/mood/promote", json={"version": 2})
        assert post(one).json()["version"] == 2
        wait_until(lambda: post(other).json()["version"] == 2, 1.0)
