"""Probes, metrics and what the server says of itself."""

from typing import Any

import httpx
import pytest
from live_server import LiveServer, wait_until
from prometheus_client.parser import text_string_to_metric_families

from skhost import __version__, errors


def metric(http: httpx.Client, name: str, **labels: str) -> float:
    """One sample of /metrics; 0 if it is not there."""
    for family in text_string_to_metric_families(http.get("/metrics").text):
        for sample in family.samples:
            if sample.name == name and sample.labels == labels:
                return float(sample.value)
    return 0.0


def test_the_probes_say_yes(http: httpx.Client) -> None:
    assert http.get("/livez").json() == {"status": "alive"}
    assert http.get("/readyz").json() == {"status": "ready", "degraded": []}


def test_info_says_what_is_served(http: httpx.Client, live: LiveServer) -> None:
    info = http.get("/info").json()
    assert info["base"]["digest"] == live.base.identity.digest
    assert (info["base"]["dtype"], info["base"]["device"]) == ("float32", "cpu")
    assert info["limits"]["max_items_per_request"] == 8
    assert info["residency"]["capacity"] > 1000
    assert info["registry"]["adapters"] >= 6
    assert info["workers"] == []
    assert info["versions"]["skhost"] == __version__
    assert info["draining"] is False


def test_requests_and_texts_are_counted_exactly(http: httpx.Client) -> None:
    def counts() -> tuple[float, ...]:
        return (
            metric(http, "skhost_requests_total", route="/classify", code="200"),
            metric(http, "skhost_requests_total", route="/classify", code="404"),
            metric(http, "skhost_items_total", outcome="ok"),
            metric(http, "skhost_items_total", outcome="error"),
            metric(http, "skhost_adapter_requests_total", adapter="tone"),
        )

    before = counts()
    http.post("/classify?adapter=tone", json={"texts": ["good", "", "bad"]})
    http.post("/classify?adapter=nobody", json={"text": "good"})
    after = counts()
    assert [b - a for a, b in zip(before, after, strict=True)] == [1, 1, 2, 1, 1]


def test_unknown_paths_share_one_label(http: httpx.Client) -> None:
    http.get("/x1")
    http.get("/x2")
    assert metric(http, "skhost_requests_total", route="unmatched", code="404") >= 2
    assert metric(http, "skhost_requests_total", route="/x1", code="404") == 0


def test_errors_are_counted_by_code(http: httpx.Client) -> None:
    before = metric(http, "skhost_errors_total", code="adapter_not_found")
    http.post("/classify?adapter=nobody", json={"text": "good"})
    assert metric(http, "skhost_errors_total", code="adapter_not_found") == before + 1


def test_adapters_have_texts_and_tokens_of_their_own(http: httpx.Client) -> None:
    def counts() -> tuple[float, ...]:
        return (
            metric(http, "skhost_adapter_items_total", adapter="tone", outcome="ok"),
            metric(http, "skhost_adapter_items_total", adapter="tone", outcome="error"),
            metric(http, "skhost_adapter_tokens_total", adapter="tone"),
        )

    before = counts()
    answer = http.post("/classify?adapter=tone", json={"texts": ["good", "", "bad"]}).json()
    seen = [b - a for a, b in zip(before, counts(), strict=True)]
    assert seen == [2, 1, answer["usage"]["tokens"]]


def test_metrics_say_what_runs_and_what_it_is_at(http: httpx.Client, live: LiveServer) -> None:
    versions = live.services.versions()
    built = {
        "version": __version__,
        "base": live.services.build_facts()["base"],
        "family": live.base.family,
        "dtype": "float32",
        "device": "cpu",
        "torch": versions["torch"],
        "transformers": versions["transformers"],
    }
    assert "/" not in built["base"]
    assert metric(http, "skhost_build_info", **built) == 1
    assert metric(http, "skhost_active_requests") == 1  # the one that asks
    assert metric(http, "skhost_draining") == 0
    assert metric(http, "skhost_drain_limit_seconds") == 1
    assert metric(http, "skhost_device_busy_seconds") == 0
    assert metric(http, "process_resident_memory_bytes") > 1 << 20


def test_every_answer_says_how_long_it_took(http: httpx.Client) -> None:
    def stages(answer: httpx.Response) -> list[str]:
        fields = [field.split(";dur=") for field in answer.headers["Server-Timing"].split(", ")]
        assert all(float(milliseconds) >= 0 for _, milliseconds in fields)
        return [name for name, _ in fields]

    whole = ["pin", "tokenise", "queue", "run", "decode", "total"]
    assert stages(http.post("/classify?adapter=tone", json={"text": "good"})) == whole
    assert stages(http.post("/classify?adapter=nobody", json={"text": "good"})) == ["total"]
    rows = '{"text": "good"}\n'
    assert stages(http.post("/classify/stream?adapter=tone", content=rows)) == whole[1:]


@pytest.mark.parametrize("given", ["abc-1.2:3", "a" * 128])
def test_a_request_keeps_its_id(http: httpx.Client, given: str) -> None:
    answer = http.get("/x", headers={"X-Request-ID": given})
    assert answer.headers["X-Request-ID"] == given == answer.json()["error"]["request_id"]


@pytest.mark.parametrize("given", ["", "two words", "a" * 129, "<script>"])
def test_an_id_that_could_be_anything_is_replaced(http: httpx.Client, given: str) -> None:
    answer = http.get("/x", headers={"X-Request-ID": given})
    assert len(answer.headers["X-Request-ID"]) == 32


def test_jobs_are_counted_by_state(http: httpx.Client, live: LiveServer) -> None:
    del live
    wait_until(lambda: "skhost_jobs{state=" in http.get("/metrics").text)
    assert 'skhost_jobs{state="running"} 0.0' in http.get("/metrics").text


def test_openapi_documents_every_route_with_its_errors(http: httpx.Client) -> None:
    document = http.get("/openapi.json").json()
    assert document["info"]["version"] == __version__
    paths: dict[str, dict[str, Any]] = document["paths"]
    assert set(paths) == {
        "/classify",
        "/classify/stream",
        "/train",
        "/train/{job_id}",
        "/train/{job_id}/cancel",
        "/train/{job_id}/resume",
        "/train/{job_id}/events",
        "/adapters",
        "/adapters/{name}",
        "/adapters/{name}/versions",
        "/adapters/{name}/promote",
        "/adapters/{name}/rollback",
        "/adapters/{name}/pin",
        "/adapters/{name}/versions/{version}/quarantine",
        "/adapters/{name}/aliases/{alias}",
        "/adapters/{ref}",
        "/adapters/{ref}/export",
        "/adapters/{name}/import",
        "/livez",
        "/readyz",
        "/metrics",
        "/info",
    }
    assert {"404", "409", "422", "424", "429", "503", "504"} <= set(
        paths["/classify"]["post"]["responses"]
    )
    form = paths["/train"]["post"]["requestBody"]["content"]["multipart/form-data"]["schema"]
    assert form["required"] == ["file", "name"]
    assert form["properties"]["method"]["enum"] == ["sk-prefix", "sk-prompt"]


def test_every_error_in_openapi_has_the_one_body(http: httpx.Client) -> None:
    paths = http.get("/openapi.json").json()["paths"]
    responses = [
        (path, status, response)
        for path, methods in paths.items()
        for method in methods.values()
        for status, response in method["responses"].items()
        if int(status) >= 400
    ]
    assert len(responses) > 50
    for path, status, response in responses:
        schema = response["content"]["application/json"]["schema"]
        assert schema == {"$ref": "#/components/schemas/ErrorBody"}, (path, status)


def test_the_docs_page_needs_nothing_from_elsewhere(http: httpx.Client) -> None:
    page = http.get("/docs")
    assert page.headers["Content-Security-Policy"].startswith("default-src 'none'")
    assert "src=" not in page.text
    assert "http" not in page.text.replace('<!doctype html><html lang="en">', "").split("<h2>")[0]
    for path in http.get("/openapi.json").json()["paths"]:
        assert f"<code>{path}</code>" in page.text
    for code in ("adapter_not_found", "overloaded", "upload_refused", "artifact_refused"):
        assert f"`{code}`" in page.text


@pytest.mark.parametrize("kind", errors.ServiceError.__subclasses__())
def test_every_error_has_a_status_and_a_code_of_its_own(
    kind: type[errors.ServiceError],
) -> None:
    assert 400 <= kind.status < 600
    same = [k for k in errors.ServiceError.__subclasses__() if k.code == kind.code]
    assert same == [kind]
