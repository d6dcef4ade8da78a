"""POST /classify/stream over HTTP: rows and answers at the same time, and every way to end."""

import asyncio
import http.client
import json
import socket
import threading
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import httpx
import pytest
from duplex import Conversation, conversation
from live_server import LiveServer, error_of, live_server, publish, wait_until

from skhost.settings import Settings

TEXTS = ["good text", "a very bad text", "the is"]


def lines_of(answer: httpx.Response) -> list[Any]:
    assert answer.status_code == 200, answer.text
    assert answer.headers["Content-Type"] == "application/x-ndjson"
    return [json.loads(line) for line in answer.text.splitlines()]


def stream(http: httpx.Client, adapter: str, rows: Sequence[Any], **query: Any) -> list[Any]:
    body = "".join((row if isinstance(row, str) else json.dumps(row)) + "\n" for row in rows)
    params = {"adapter": adapter, **query}
    return lines_of(http.post("/classify/stream", params=params, content=body.encode()))


def classify(http: httpx.Client, adapter: str, **body: Any) -> list[Any]:
    answer = http.post("/classify", params={"adapter": adapter}, json=body).json()
    results: list[Any] = answer["results"]
    return results


def test_rows_get_what_a_request_would_give(http: httpx.Client) -> None:
    *items, end = stream(http, "mood", [{"text": text} for text in TEXTS])
    assert [item.pop("line") for item in items] == [1, 2, 3]
    for item, other in zip(items, classify(http, "mood", texts=TEXTS), strict=True):
        assert item["label"] == other["label"]
        assert item["scores"] == pytest.approx(other["scores"], abs=2e-5)
    assert end["end"]["rows"] == 3
    assert end["end"]["errors"] == 0
    assert end["end"]["tokens"] > 6


def test_pairs_words_and_options_are_as_in_a_request(http: httpx.Client) -> None:
    pair, _ = stream(http, "same", [{"pair": ["good", "bad"]}])
    (expected,) = classify(http, "same", pairs=[["good", "bad"]])
    assert pair["scores"] == pytest.approx(expected["scores"], abs=2e-5)
    words, _ = stream(http, "things", [{"tokens": ["good", "text"]}])
    assert len(words["tags"]) == 2
    item, _ = stream(http, "mood", [{"text": "good"}], scores="none", threshold=1)
    assert set(item) == {"line", "label", "abstain"}
    item, _ = stream(http, "mood", [{"text": "good"}], top_k=2, truncate=False)
    assert len(item["scores"]) == 2


def test_what_answers_is_said_in_headers(http: httpx.Client) -> None:
    params = {"adapter": "mood@1"}
    answer = http.post("/classify/stream", params=params, content=b'{"text": "good"}')
    expected = http.post("/classify", params=params, json={"text": "good"}).json()
    assert answer.headers["X-Adapter"] == "mood@1"
    assert answer.headers["X-Artifact-Digest"] == expected["digest"]
    assert "X-Request-ID" in answer.headers


def test_there_may_be_more_rows_than_a_request_has(http: httpx.Client, live: LiveServer) -> None:
    rows = [{"text": f"good text {n}", "id": f"r{n}"} for n in range(3000)]
    assert len(json.dumps(rows)) > live.services.settings.max_body_bytes
    *items, end = stream(http, "mood", rows)
    assert [(item["line"], item["id"]) for item in items] == [(n + 1, f"r{n}") for n in range(3000)]
    assert end["end"]["rows"] == 3000


@pytest.mark.parametrize(
    ("row", "code", "message"),
    [
        ("{", "invalid_input", "the line is not valid JSON: "),
        ("[1]", "invalid_input", "the line must be a JSON object"),
        ('"good"', "invalid_input", "the line must be a JSON object"),
        ({"text": 1}, "invalid_input", "text: input should be a valid string, got 1 (int)"),
        ({"txt": "a"}, "invalid_input", "unknown field 'txt'; did you mean 'text'?"),
        ({"text": "a", "pair": ["a", "b"]}, "invalid_input", "got text and pair"),
        ({"id": 3}, "invalid_input", "send exactly one of text, pair, tokens; got none of them"),
        ({"pair": ["a"]}, "invalid_input", "pair[1] is required"),
        ({"text": ""}, "invalid_input", "empty"),
        ({"text": "x" * 5001}, "input_too_long", "5,001 characters; at most 5,000"),
        ({"text": "x" * 70_000}, "input_too_long", "the line is longer than 65,536 bytes"),
        ('{"text": "\\ud800"}', "invalid_input", "not valid JSON"),
    ],
)
def test_a_bad_row_is_an_error_in_its_place(
    http: httpx.Client, row: Any, code: str, message: str
) -> None:
    before, item, after, end = stream(http, "mood", [{"text": "good"}, row, {"text": "bad"}])
    assert "label" in before
    assert "label" in after
    assert (before["line"], item["line"], after["line"]) == (1, 2, 3)
    assert (end["end"]["rows"], end["end"]["errors"]) == (3, 1)
    assert item["error"]["code"] == code
    assert message in item["error"]["message"]


def test_bytes_that_are_no_text_are_an_error_of_their_row(http: httpx.Client) -> None:
    body = b'{"text": "\xff"}\n{"text": "good", "id": 7}'
    item, good, _ = lines_of(http.post("/classify/stream?adapter=mood", content=body))
    assert item["error"]["code"] == "invalid_input"
    assert (good["line"], good["id"]) == (2, 7)


def test_blank_lines_are_counted_and_passed_over(http: httpx.Client) -> None:
    first, second, end = stream(http, "mood", ["", {"text": "good"}, "  ", '{"text": "bad"}\r'])
    assert (first["line"], second["line"]) == (2, 4)
    assert end["end"]["rows"] == 2


def test_an_empty_body_has_an_end_and_no_rows(http: httpx.Client) -> None:
    assert stream(http, "mood", []) == [{"end": {"rows": 0, "errors": 0, "tokens": 0}}]


@pytest.mark.parametrize(
    ("query", "status", "code", "message"),
    [
        ("adapter=nobody", 404, "adapter_not_found", "nobody"),
        ("adapter=mood@9", 404, "version_not_found", "9"),
        ("adapter=a,b", 422, "invalid_request", "a,b"),
        ("", 422, "invalid_request", "adapter is required"),
        ("adapter=mood&topk=1", 422, "invalid_request", "did you mean 'top_k'"),
        ("adapter=mood&priority=high", 422, "invalid_request", "priority: "),
        ("adapter=mood&timeout_s=31", 422, "invalid_request", "timeout_s may be 30 at most here"),
        ("adapter=mood&top_k=0", 422, "invalid_request", "top_k"),
        ("adapter=mood&max_risk=0.1", 422, "invalid_request", "no risk levels"),
    ],
)
def test_what_cannot_begin_is_an_ordinary_error(
    http: httpx.Client, query: str, status: int, code: str, message: str
) -> None:
    answer = http.post(f"/classify/stream?{query}", content=b'{"text": "good"}\n')
    error_of(answer, status, code, message)


def test_answers_come_while_the_request_is_still_being_sent(live: LiveServer) -> None:
    with conversation(live.url) as talk:
        for number in range(1, 6):
            talk.send({"text": "good"})
            assert talk.take()["line"] == number
        talk.finish()
        assert talk.rest() == [{"end": {"rows": 5, "errors": 0, "tokens": 15}}]


def test_every_row_has_the_time_that_the_client_gives_it(live: LiveServer) -> None:
    with held_device(live), conversation(live.url, query="&timeout_s=0.2") as talk:
        talk.send({"text": "good"})
        answer = talk.answer
        assert answer.status == 504
        assert json.loads(answer.read())["error"]["code"] == "deadline_exceeded"


@contextmanager
def server(base: Path, data: Path, **settings: Any) -> Iterator[LiveServer]:
    values: dict[str, Any] = {"data_dir": data, "base": str(base), "drain_timeout_s": 20}
    with live_server(Settings(**{**values, **settings})) as live:
        publish(live, "mood")
        yield live


@contextmanager
def held_device(live: LiveServer) -> Iterator[None]:
    release, busy = threading.Event(), threading.Event()

    def hold() -> None:
        busy.set()
        assert release.wait(30)

    runner = live.services.engine.runner
    holding = asyncio.run_coroutine_threadsafe(runner.call(hold), live.loop)
    try:
        wait_until(busy.is_set)
        yield
    finally:
        release.set()
        holding.result(30)


def active(live: LiveServer) -> int:
    return int(live.app.state.drain.active)


def sent_until_refused(talk: Conversation, row: Any, kind: type[OSError]) -> int:
    """How often a row could be sent, of which no answer is taken."""
    for sent in range(50_000):
        try:
            talk.send(row)
        except kind:
            return sent
    raise AssertionError("everything was taken")


def test_a_client_that_takes_nothing_is_not_read_from(
    tiny_bert_folder: Path, tmp_path: Path
) -> None:
    row = {"text": "good text " * 20, "id": "x" * 4000}
    with server(tiny_bert_folder, tmp_path) as live, conversation(live.url) as talk:
        talk.socket.settimeout(1.0)
        sent = sent_until_refused(talk, row, TimeoutError)
        assert 0 < sent < 10_000  # what fits the window and the two sockets
        assert live.services.engine.batcher.num_waiting <= live.services.settings.stream_window


def test_a_client_that_takes_nothing_for_long_is_let_go(
    tiny_bert_folder: Path, tmp_path: Path
) -> None:
    row = {"text": "good text " * 20, "id": "x" * 4000}
    with (
        server(tiny_bert_folder, tmp_path, stream_idle_s=1.0) as live,
        conversation(live.url) as talk,
    ):
        talk.socket.settimeout(3.0)
        sent_until_refused(talk, row, OSError)
        wait_until(lambda: active(live) == 0)
        assert [each.pins for each in live.services.engine.residency.residents()] == [0]
        with pytest.raises((http.client.IncompleteRead, ConnectionError)):  # there is no end
            talk.answer.read()


def test_a_client_that_sends_nothing_for_long_gets_an_end(
    tiny_bert_folder: Path, tmp_path: Path
) -> None:
    with (
        server(tiny_bert_folder, tmp_path, stream_idle_s=0.5) as live,
        conversation(live.url) as talk,
    ):
        talk.send({"text": "good"})
        first, end = talk.rest()
        assert first["line"] == 1
        assert end["end"]["rows"] == 1
        assert end["end"]["error"]["code"] == "deadline_exceeded"
        assert end["end"]["error"]["request_id"] == talk.answer.headers["X-Request-ID"]


def test_a_client_that_leaves_takes_its_rows_with_it(
    tiny_bert_folder: Path, tmp_path: Path
) -> None:
    with server(tiny_bert_folder, tmp_path) as live:
        batcher = live.services.engine.batcher
        with held_device(live):
            with conversation(live.url) as talk:
                talk.send(*[{"text": "good"}] * 400)
                wait_until(lambda: batcher.num_waiting > 0)
            wait_until(lambda: active(live) == 0 and batcher.num_waiting == 0)
        text = httpx.get(f"{live.url}/metrics").text
        assert 'skhost_requests_total{code="499",route="/classify/stream"} 1.0' in text
        residents = live.services.engine.residency.residents()
        assert [resident.pins for resident in residents] == [0]


def send_many(talk: Conversation) -> None:
    with suppress(OSError):
        for _ in range(50):
            talk.send(*[{"text": "good"}] * 20_000)


def test_a_client_that_leaves_with_much_still_to_be_read_is_noticed(
    tiny_bert_folder: Path, tmp_path: Path
) -> None:
    with server(tiny_bert_folder, tmp_path, stream_window=64) as live:
        with conversation(live.url) as talk:
            sender = threading.Thread(target=send_many, args=(talk,))
            sender.start()
            assert talk.take()["line"] == 1
            talk.socket.shutdown(socket.SHUT_RDWR)
            sender.join(30)
        wait_until(lambda: active(live) == 0)
        text = httpx.get(f"{live.url}/metrics").text
        (line,) = (n for n in text.splitlines() if n.startswith('skhost_items_total{outcome="ok"}'))
        assert float(line.split()[-1]) < 3000  # of a million


def test_a_drain_answers_the_rows_that_came_and_says_that_it_stopped(
    tiny_bert_folder: Path, tmp_path: Path
) -> None:
    with server(tiny_bert_folder, tmp_path) as live, conversation(live.url) as talk:
        with held_device(live):
            talk.send(*[{"text": "good"}] * 100)
            wait_until(lambda: live.services.engine.batcher.num_waiting > 0)
            live.app.state.drain.begin()
        *items, last = talk.rest()
        end = last["end"]
        assert end["error"]["code"] == "draining"
        assert [item["line"] for item in items] == list(range(1, len(items) + 1))
        assert end["rows"] == len(items) > 0
        wait_until(lambda: live.loop.is_closed())


def test_a_row_whose_time_is_up_ends_the_stream_and_says_so(
    tiny_bert_folder: Path, tmp_path: Path
) -> None:
    with (
        server(tiny_bert_folder, tmp_path, request_timeout_s=3) as live,
        conversation(live.url) as talk,
    ):
        talk.send({"text": "good"})
        assert talk.take()["line"] == 1
        with held_device(live):
            talk.send({"text": "good"})
            (last,) = talk.rest()
        assert last["end"]["rows"] == 1
        assert last["end"]["error"]["code"] == "deadline_exceeded"


def test_a_full_queue_holds_a_stream_up_and_loses_nothing(
    tiny_bert_folder: Path, tmp_path: Path
) -> None:
    rows = "".join(json.dumps({"text": f"good {n}"}) + "\n" for n in range(400)).encode()

    def post(_: int) -> list[Any]:
        return lines_of(httpx.post(url, content=rows, timeout=60))

    with server(tiny_bert_folder, tmp_path, max_waiting_items=100) as live:
        url = f"{live.url}/classify/stream?adapter=mood"
        with ThreadPoolExecutor(3) as pool:
            for *items, end in pool.map(post, range(3)):
                assert [item["line"] for item in items] == list(range(1, 401))
                assert end["end"] == {"rows": 400, "errors": 0, "tokens": end["end"]["tokens"]}


def test_a_stream_keeps_the_version_that_it_began_with(
    tiny_bert_folder: Path, tmp_path: Path
) -> None:
    with server(tiny_bert_folder, tmp_path) as live:
        with conversation(live.url, query="&scores=logit") as talk:
            talk.send({"text": "good"})
            before = talk.take()
            publish(live, "mood", seed=7)
            httpx.delete(f"{live.url}/adapters/mood@1").raise_for_status()
            talk.send({"text": "good"})
            after = talk.take()
            talk.finish()
            assert talk.rest()[-1]["end"]["rows"] == 2
        assert after["scores"] == pytest.approx(before["scores"], abs=1e-5)
        assert talk.answer.headers["X-Adapter"] == "mood@1"
        residents = live.services.engine.residency.residents
        wait_until(lambda: len(residents()) == 1)  # the server ends after its answer
