"""Versions, aliases and their moves over HTTP; what answers changes with them."""

from collections.abc import Iterator
from pathlib import Path
from uuid import uuid4

import httpx
import pytest
from live_server import LiveServer, error_of, live_server, publish

from skhost.settings import Settings


@pytest.fixture
def name(live: LiveServer, http: httpx.Client) -> Iterator[str]:
    """An adapter with two versions of which the second answers."""
    name = f"a-{uuid4().hex[:8]}"
    publish(live, name, seed=11)
    publish(live, name, seed=12)
    yield name
    http.delete(f"/adapters/{name}")


def version_of(http: httpx.Client, ref: str) -> int:
    answer = http.post("/classify", params={"adapter": ref}, json={"text": "good"})
    assert answer.status_code == 200, answer.text
    return int(answer.json()["version"])


def test_an_adapter_shows_its_versions_and_aliases(http: httpx.Client, name: str) -> None:
    adapter = http.get(f"/adapters/{name}").json()
    assert adapter["aliases"] == {"prod": 2}
    assert [v["version"] for v in adapter["versions"]] == [1, 2]
    assert adapter["versions"][0]["labels"] == ["bad", "good", "so-so"]
    versions = http.get(f"/adapters/{name}/versions").json()
    assert versions == {"name": name, "versions": adapter["versions"]}


def test_adapters_are_listed_page_by_page(http: httpx.Client, name: str) -> None:
    seen: list[str] = []
    cursor: str | None = None
    while True:
        params = {"limit": "2"} | ({"cursor": cursor} if cursor else {})
        page = http.get("/adapters", params=params).json()
        seen += [adapter["name"] for adapter in page["adapters"]]
        cursor = page["next_cursor"]
        if cursor is None:
            break
        assert len(page["adapters"]) == 2
    assert seen == sorted({"careful", "feelings", "mood", "rating", "same", "things", "tone", name})


def test_promote_and_rollback_answer_at_once(http: httpx.Client, name: str) -> None:
    promoted = http.post(f"/adapters/{name}/promote", json={"version": 1})
    assert promoted.json()["aliases"] == {"prod": 1}
    assert version_of(http, name) == 1
    rolled = http.post(f"/adapters/{name}/rollback")
    assert rolled.json()["aliases"] == {"prod": 2}
    assert version_of(http, name) == 2
    back = http.post(f"/adapters/{name}/rollback", json={"alias": "prod"})
    assert back.json()["aliases"] == {"prod": 1}
    error_of(http.post(f"/adapters/{name}/rollback"), 409, "conflict", "nothing usable before it")


def test_an_alias_is_set_used_and_removed(http: httpx.Client, name: str) -> None:
    put = http.put(f"/adapters/{name}/aliases/canary", json={"version": 1})
    assert put.json()["aliases"] == {"canary": 1, "prod": 2}
    assert version_of(http, f"{name}@canary") == 1
    assert http.delete(f"/adapters/{name}/aliases/canary").status_code == 204
    gone = http.post("/classify", params={"adapter": f"{name}@canary"}, json={"text": "good"})
    error_of(gone, 404, "alias_not_found")


def test_a_version_is_removed_unless_it_answers(http: httpx.Client, name: str) -> None:
    error_of(http.delete(f"/adapters/{name}@2"), 409, "conflict", "is what prod points at")
    assert http.delete(f"/adapters/{name}@1").status_code == 204
    gone = http.post("/classify", params={"adapter": f"{name}@1"}, json={"text": "good"})
    error_of(gone, 404, "version_not_found", "was retired")


def test_a_removed_adapter_answers_no_more(http: httpx.Client, name: str) -> None:
    assert version_of(http, name) == 2
    assert http.delete(f"/adapters/{name}").status_code == 204
    gone = http.post("/classify", params={"adapter": name}, json={"text": "good"})
    error_of(gone, 404, "adapter_not_found")
    error_of(http.get(f"/adapters/{name}"), 404, "adapter_not_found")


@pytest.mark.parametrize(
    ("method", "path", "body", "status", "code"),
    [
        ("GET", "/adapters/nobody", None, 404, "adapter_not_found"),
        ("GET", "/adapters/nobody/versions", None, 404, "adapter_not_found"),
        ("GET", "/adapters/Bad!", None, 422, "invalid_request"),
        ("GET", "/adapters?limit=0", None, 422, "invalid_request"),
        ("GET", "/adapters?page=2", None, 422, "invalid_request"),
        ("POST", "/adapters/mood/promote", {}, 422, "invalid_request"),
        ("POST", "/adapters/mood/promote", {"version": 0}, 422, "invalid_request"),
        ("POST", "/adapters/mood/promote", {"version": "1"}, 422, "invalid_request"),
        ("POST", "/adapters/mood/promote", {"version": 9}, 404, "version_not_found"),
        ("POST", "/adapters/mood/promote", {"version": 1, "alias": "A"}, 422, "invalid_request"),
        ("POST", "/adapters/nobody/promote", {"version": 1}, 404, "adapter_not_found"),
        ("POST", "/adapters/tone/rollback", None, 409, "conflict"),
        ("POST", "/adapters/tone/rollback", {"alias": "x"}, 404, "alias_not_found"),
        ("POST", "/adapters/nobody/rollback", None, 404, "adapter_not_found"),
        ("PUT", "/adapters/mood/aliases/x", {"version": 9}, 404, "version_not_found"),
        ("PUT", "/adapters/mood/aliases/7", {"version": 1}, 422, "invalid_request"),
        ("DELETE", "/adapters/mood/aliases/x", None, 404, "alias_not_found"),
        ("DELETE", "/adapters/nobody", None, 404, "adapter_not_found"),
        ("DELETE", "/adapters/mood@9", None, 404, "version_not_found"),
        ("DELETE", "/adapters/mood@prod", None, 409, "conflict"),
        ("GET", "/adapters/mood@9/export", None, 404, "version_not_found"),
        ("GET", "/adapters/nobody/export", None, 404, "adapter_not_found"),
    ],
)
def test_moves_that_cannot_be_made(
    http: httpx.Client, method: str, path: str, body: object, status: int, code: str
) -> None:
    error_of(http.request(method, path, json=body), status, code)


def test_an_adapter_is_pinned_and_let_go(http: httpx.Client) -> None:
    pinned = http.put("/adapters/tone/pin")
    assert pinned.status_code == 200
    assert pinned.json()["pinned"] is True
    assert http.get("/info").json()["residency"]["kept_adapters"] == 1
    assert http.get("/adapters/tone").json() == pinned.json()
    assert http.delete("/adapters/tone/pin").json()["pinned"] is False
    assert http.get("/info").json()["residency"]["kept_adapters"] == 0
    error_of(http.put("/adapters/nobody/pin"), 404, "adapter_not_found")


def test_a_pin_that_leaves_too_little_room_is_refused(
    tiny_bert_folder: Path, tmp_path: Path
) -> None:
    settings = Settings(data_dir=tmp_path, base=str(tiny_bert_folder), device_budget_bytes=1 << 20)
    with live_server(settings) as small:
        room = publish(small, "first")["nbytes"]
        publish(small, "second", seed=1)
        # a budget of which one of them takes more than half
        small.services.engine.residency._device.budget_bytes = 2 * room
        httpx.put(f"{small.url}/adapters/first/pin").raise_for_status()
        refused = httpx.put(f"{small.url}/adapters/second/pin")
        error_of(refused, 409, "conflict", f"would take {2 * room} bytes")
        assert not httpx.get(f"{small.url}/adapters/second").json()["pinned"]
