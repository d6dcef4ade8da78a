"""Traces as a real collector gets them, from a real server."""

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from live_server import LiveServer, live_server, publish, wait_until
from opentelemetry.proto.trace.v1.trace_pb2 import Span, Status
from otlp_receiver import Receiver, attributes, receiving

from skhost import __version__
from skhost.settings import Settings
from skhost.tracing import Traces, TracesUnavailable

MARKER = "zebra crossing"
TRACE_ID = "4bf92f3577b34da6a3ce929d0e0e4736"
CALLER = "00f067aa0ba902b7"
STAGES = ["pin", "tokenise", "queue", "run", "decode"]


@pytest.fixture(scope="module")
def collector() -> Iterator[Receiver]:
    with receiving() as receiver:
        yield receiver


@pytest.fixture(scope="module")
def traced(
    collector: Receiver, tiny_bert_folder: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[LiveServer]:
    """A server that sends its traces there."""
    settings = Settings(
        data_dir=tmp_path_factory.mktemp("traced"),
        base=str(tiny_bert_folder),
        drain_timeout_s=1,
        otlp_endpoint=collector.url,
    )
    with live_server(settings) as live:
        publish(live, "mood")
        yield live


def sent(live: LiveServer, collector: Receiver, name: str = "POST /classify") -> list[Span]:
    """The spans that the server has sent, once a request of this name is among them.

    A request's span ends just after its answer; those of requests before it are there by then.
    """
    traces: Traces = live.app.state.traces
    wait_until(lambda: traces._provider.force_flush() and named(collector.spans, name), 60)
    spans = collector.spans
    collector.bodies.clear()
    return spans


def named(spans: list[Span], name: str) -> list[Span]:
    return [span for span in spans if span.name == name]


def post(
    traced: LiveServer, path: str = "/classify?adapter=mood", **headers: str
) -> httpx.Response:
    return httpx.post(traced.url + path, json={"texts": ["good", MARKER]}, headers=headers)


def test_a_request_and_its_stages(traced: LiveServer, collector: Receiver) -> None:
    collector.bodies.clear()
    answer = post(traced)
    assert answer.status_code == 200
    spans = sent(traced, collector)
    (request,) = named(spans, "POST /classify")
    assert request.kind == Span.SPAN_KIND_SERVER
    assert not request.parent_span_id
    found = attributes(request)
    assert found["http.request.method"] == "POST"
    assert found["http.route"] == "/classify"
    assert found["http.response.status_code"] == 200
    assert (found["skhost.adapter"], found["skhost.version"]) == ("mood", "1")
    assert found["skhost.request_id"] == answer.headers["X-Request-ID"]
    stages = [span for span in spans if span.parent_span_id == request.span_id]
    assert [span.name for span in stages] == STAGES
    assert {span.trace_id for span in stages} == {request.trace_id}
    for span in stages:
        assert request.start_time_unix_nano <= span.start_time_unix_nano + 1_000_000
        assert span.start_time_unix_nano <= span.end_time_unix_nano
        assert span.end_time_unix_nano <= request.end_time_unix_nano + 1_000_000
    assert attributes(named(spans, "run")[0]) == {"skhost.batch_items": 2}


def test_the_caller_s_trace_goes_on(traced: LiveServer, collector: Receiver) -> None:
    collector.bodies.clear()
    post(traced, traceparent=f"00-{TRACE_ID}-{CALLER}-01")
    spans = sent(traced, collector)
    (request,) = named(spans, "POST /classify")
    assert request.trace_id.hex() == TRACE_ID
    assert request.parent_span_id.hex() == CALLER
    assert {span.trace_id.hex() for span in spans} == {TRACE_ID}


def test_what_the_caller_does_not_sample_is_not_sent(
    traced: LiveServer, collector: Receiver
) -> None:
    assert post(traced, traceparent=f"00-{TRACE_ID}-{CALLER}-00").status_code == 200
    post(traced)
    assert TRACE_ID not in {span.trace_id.hex() for span in sent(traced, collector)}


def test_errors_are_marked_by_their_code(traced: LiveServer, collector: Receiver) -> None:
    collector.bodies.clear()
    post(traced, "/classify?adapter=nobody")
    (request,) = sent(traced, collector)
    assert attributes(request)["error.type"] == "adapter_not_found"
    assert request.status.code == Status.STATUS_CODE_UNSET  # the caller's fault, not the server's


def test_a_stream_is_one_span_with_its_longest_stages(
    traced: LiveServer, collector: Receiver
) -> None:
    collector.bodies.clear()
    rows = "".join(f'{{"text": "good {number}"}}\n' for number in range(600))
    answer = httpx.post(f"{traced.url}/classify/stream?adapter=mood", content=rows, timeout=60)
    assert "run;dur=" in answer.headers["Server-Timing"]
    spans = sent(traced, collector, "POST /classify/stream")
    (request,) = named(spans, "POST /classify/stream")
    assert attributes(request)["skhost.items"] == "600"
    assert [span.name for span in spans if span != request] == STAGES[1:]


def test_probes_are_not_traced(traced: LiveServer, collector: Receiver) -> None:
    collector.bodies.clear()
    for path in ("/livez", "/readyz", "/metrics"):
        assert httpx.get(traced.url + path).status_code == 200
    post(traced)
    spans = sent(traced, collector)
    assert {span.name for span in spans} == {"POST /classify", *STAGES}


def test_traces_say_who_sends_them_and_no_text(traced: LiveServer, collector: Receiver) -> None:
    collector.bodies.clear()
    post(traced)
    post(traced, f"/classify?adapter={MARKER}")
    post(traced, f"/{MARKER}?{MARKER}={MARKER}")
    traces: Traces = traced.app.state.traces
    unmatched = "POST unmatched"
    wait_until(lambda: traces._provider.force_flush() and named(collector.spans, unmatched), 60)
    (resource, *_) = collector.resources()
    assert resource["service.name"] == "skhost"
    assert resource["service.version"] == __version__
    assert set(collector.paths) == {"/v1/traces"}
    assert len(collector.spans) > 2
    for body in collector.bodies:
        assert b"zebra" not in body


def test_a_collector_that_is_away_disturbs_nobody(tiny_bert_folder: Path, tmp_path: Path) -> None:
    with receiving() as gone:
        pass
    settings = Settings(data_dir=tmp_path, base=str(tiny_bert_folder), otlp_endpoint=gone.url)
    with live_server(settings) as live:
        publish(live, "mood")
        assert post(live).status_code == 200
    assert gone.bodies == []


def test_without_an_endpoint_nothing_that_sends_is_loaded(tmp_path: Path) -> None:
    """The SDK's metrics may be: the Redis client imports them where they are installed."""
    code = (
        "import asyncio, sys; from pathlib import Path; from skhost.app import create_app;"
        "from skhost.settings import Settings; from skhost.tracing import tracing;"
        "import skhost.jobs.run;"
        f"settings = Settings(data_dir=Path({str(tmp_path)!r}));"
        "made = create_app(settings);"
        "exec('async def use():\\n async with tracing(None) as t: assert t is None');"
        "asyncio.run(use());"
        "sys.exit(str(sorted(n for n in sys.modules if n.startswith(("
        "'opentelemetry.exporter', 'opentelemetry.proto', 'opentelemetry.sdk.trace')))))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.stderr.strip() == "[]"


def test_without_its_packages_an_endpoint_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "opentelemetry.exporter.otlp.proto.http.trace_exporter", None)
    with pytest.raises(TracesUnavailable, match=r"pip install 'skhost\[otel\]'"):
        Traces("http://127.0.0.1:4318")


def test_opentelemetry_s_own_variable_counts(monkeypatch: pytest.MonkeyPatch) -> None:
    assert Settings().otlp_endpoint is None
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", "http://elsewhere:4318")
    assert Settings().otlp_endpoint == "http://elsewhere:4318"
    assert Settings(otlp_endpoint="http://here:4318").otlp_endpoint == "http://here:4318"
    with pytest.raises(ValueError, match="http:// or https://"):
        Settings(otlp_endpoint="here:4318")
