"""Trainings as a real collector gets them, from a real server and real workers."""

from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from live_server import LiveServer, live_server, wait_until
from opentelemetry.proto.trace.v1.trace_pb2 import Span, Status
from otlp_receiver import Receiver, attributes, receiving
from training_jobs import COUNTING, SKHOST, Workers

from skhost.client import Client
from skhost.jobs.traced import NAME
from skhost.settings import Settings
from skhost.tracing import TracesUnavailable
from skhost.worker import run_worker

TRACE_ID, CALLER = "4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7"
MARKER = "zebra"
ROWS = "".join(
    f'{{"text": "a {word} {MARKER} {i}", "label": "{label}"}}\n'
    for i in range(10)
    for word, label in (("good", "pos"), ("bad", "neg"))
)


@pytest.fixture
def collector() -> Iterator[Receiver]:
    with receiving() as receiver:
        yield receiver


@pytest.fixture
def settings(tmp_path: Path, tiny_bert_folder: Path, collector: Receiver) -> Settings:
    """Of a server and workers that send their traces there."""
    return Settings(
        data_dir=tmp_path,
        base=str(tiny_bert_folder),
        worker_nice=0,
        worker_threads=1,
        drain_timeout_s=1,
        otlp_endpoint=collector.url,
    )


@pytest.fixture
def live(settings: Settings) -> Iterator[LiveServer]:
    """The server, and the registry that the workers join."""
    with live_server(settings) as live:
        yield live


def train(live: LiveServer, name: str, **headers: str) -> str:
    """A job's id."""
    files, form = {"file": ("rows.jsonl", ROWS.encode())}, {"name": name, "epochs": "1"}
    answer = httpx.post(f"{live.url}/train", data=form, files=files, headers=headers, timeout=60)
    assert answer.status_code == 202, answer.text
    return str(answer.json()["id"])


def attempts(collector: Receiver, count: int = 1) -> list[Span]:
    """The spans of attempts, once there are so many: the process sends them when it ends."""
    wait_until(lambda: len(named(collector, NAME)) >= count, 60)
    return named(collector, NAME)[:count]


def named(collector: Receiver, name: str) -> list[Span]:
    return [span for span in collector.spans if span.name == name]


def stages(collector: Receiver, attempt: Span) -> list[Span]:
    found = [span for span in collector.spans if span.parent_span_id == attempt.span_id]
    return sorted(found, key=lambda span: span.start_time_unix_nano)


def test_a_training_goes_on_from_its_request(
    live: LiveServer, workers: Workers, collector: Receiver
) -> None:
    workers.start(SKHOST)
    job_id = train(live, "mood", traceparent=f"00-{TRACE_ID}-{CALLER}-01")
    with Client(live.url) as client:
        states = [e.data["state"] for e in client.events(job_id) if e.kind == "state"]
        assert states[-1] == "succeeded"
        assert "traceparent" not in client.job(job_id)
    (attempt,) = attempts(collector)
    assert attempt.trace_id.hex() == TRACE_ID
    assert attempt.kind == Span.SPAN_KIND_CONSUMER
    about = attributes(attempt)
    assert (about["skhost.job"], about["skhost.adapter"]) == (job_id, "mood")
    assert (about["skhost.tenant"], about["skhost.attempt"]) == ("default", 1)
    assert "error.type" not in about
    assert [s.name for s in stages(collector, attempt)] == ["read", "train", "evaluate", "publish"]
    for stage in stages(collector, attempt):
        assert stage.trace_id == attempt.trace_id
        assert attempt.start_time_unix_nano <= stage.start_time_unix_nano
        assert stage.start_time_unix_nano < stage.end_time_unix_nano
        assert stage.end_time_unix_nano <= attempt.end_time_unix_nano
    traces = live.app.state.traces
    wait_until(lambda: traces._provider.force_flush() and named(collector, "POST /train"), 60)
    (request,) = named(collector, "POST /train")
    assert attempt.parent_span_id == request.span_id
    assert request.parent_span_id.hex() == CALLER
    assert all(MARKER.encode() not in body for body in collector.bodies)


def test_what_stops_a_stage_is_on_its_span_and_the_attempts(
    live: LiveServer, workers: Workers, collector: Receiver
) -> None:
    workers.start(COUNTING)
    with Client(live.url) as client:
        job_id = train(live, "endless")
        wait_until(lambda: client.job(job_id)["state"] == "running", 60)
        client.cancel(job_id)
        (cancelled,) = attempts(collector)
        train(live, "refused")
        refused = attempts(collector, 2)[1]
        job_id = train(live, "broken")
        broken = attempts(collector, 4)[2:]
        client.cancel(job_id)
    read, stopped = stages(collector, cancelled)
    for span in (stopped, cancelled):
        assert attributes(span)["skhost.stopped"] is True
    assert (read.name, stopped.name) == ("read", "train")
    (read,) = stages(collector, refused)
    for span in (read, refused):
        assert attributes(span)["error.type"] == "upload_refused"
        assert span.status.code == Status.STATUS_CODE_UNSET  # the file is to blame
    for number, attempt in enumerate(broken, 1):
        assert attributes(attempt)["skhost.attempt"] == number
        for span in (stages(collector, attempt)[-1], attempt):
            assert attributes(span)["error.type"] == "OSError"
            assert span.status.code == Status.STATUS_CODE_ERROR
            assert b"disk" not in span.SerializeToString()


def test_without_its_packages_a_worker_does_not_start(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("skhost.tracing.find_spec", lambda name: None)
    with pytest.raises(TracesUnavailable, match=r"pip install 'skhost\[otel\]'"):
        run_worker(settings)
