"""Who may do what: every route with every kind of caller."""

import asyncio
import re
from collections.abc import Awaitable, Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, TypeVar

import httpx
import pytest
from duplex import conversation
from fastapi.routing import APIRoute
from live_server import LiveServer, error_of, live_server, publish, wait_until
from prometheus_client.parser import text_string_to_metric_families
from pydantic import SecretStr
from starlette.routing import Route

from skhost.access.record import USERS, Scope
from skhost.access.store import KeyStore
from skhost.access.token import new_token
from skhost.api.deps import Needs
from skhost.api.guard import OPEN
from skhost.client import ApiError, Client, parse_events
from skhost.connection import connect
from skhost.settings import Settings
from skhost.valkey import EmbeddedValkey

Returned = TypeVar("Returned")
NO_SUCH_JOB = "0123456789abcdef"
ROWS = "".join(f'{{"text": "t {i}", "label": "l{i % 2}"}}\n' for i in range(20))


@dataclass(frozen=True, slots=True)
class Ask:
    """One way to use a route: who may, and how it is answered then."""

    method: str
    template: str
    scope: Scope | None  # None: any key but one for metrics
    status: int
    path: str = ""
    kwargs: tuple[tuple[str, Any], ...] = ()
    is_operators: bool = False

    @property
    def scopes(self) -> tuple[Scope, ...]:
        """Any of these will do, and admin."""
        return USERS if self.scope is None else (self.scope,)

    def send(self, http: httpx.Client, **headers: str) -> httpx.Response:
        """Send it."""
        values = dict(self.kwargs)
        given = {**values.pop("headers", {}), **headers}
        return http.request(self.method, self.path or self.template, headers=given, **values)


def json(**body: Any) -> tuple[tuple[str, Any], ...]:
    return (("json", body),)


JOB = "/train/" + NO_SUCH_JOB
# Each answers the same however often it is asked.
ASKS = (
    Ask("POST", "/classify", Scope.CLASSIFY, 200, "/classify?adapter=mood", json(text="a")),
    Ask("POST", "/classify/stream", Scope.CLASSIFY, 200, "/classify/stream?adapter=mood",
        (("content", b'{"text": "a"}\n'), ("headers", {"Content-Type": "application/x-ndjson"}))),
    Ask("GET", "/adapters", None, 200),
    Ask("GET", "/adapters/{name}", None, 200, "/adapters/mood"),
    Ask("GET", "/adapters/{name}/versions", None, 200, "/adapters/mood/versions"),
    Ask("GET", "/adapters/{ref}/export", Scope.TRAIN, 200, "/adapters/mood/export"),
    Ask("POST", "/adapters", Scope.TRAIN, 422, kwargs=json(name="x", labels=[])),
    Ask("POST", "/adapters/{name}/import", Scope.TRAIN, 422, "/adapters/x/import"),
    Ask("POST", "/adapters/{name}/promote", Scope.ADMIN, 200, "/adapters/mood/promote",
        json(version=1)),
    Ask("POST", "/adapters/{name}/rollback", Scope.ADMIN, 409, "/adapters/mood/rollback"),
    Ask("PUT", "/adapters/{name}/aliases/{alias}", Scope.ADMIN, 200, "/adapters/mood/aliases/a",
        json(version=1)),
    Ask("DELETE", "/adapters/{name}/aliases/{alias}", Scope.ADMIN, 404,
        "/adapters/mood/aliases/nobody"),
    Ask("PUT", "/adapters/{name}/pin", Scope.ADMIN, 200, "/adapters/mood/pin"),
    Ask("DELETE", "/adapters/{name}/pin", Scope.ADMIN, 200, "/adapters/mood/pin"),
    Ask("DELETE", "/adapters/{name}/versions/{version}/quarantine", Scope.ADMIN, 200,
        "/adapters/mood/versions/1/quarantine"),
    Ask("DELETE", "/adapters/{ref}", Scope.ADMIN, 404, "/adapters/mood@9"),
    Ask("POST", "/train", Scope.TRAIN, 422),
    Ask("GET", "/train", Scope.TRAIN, 200),
    Ask("GET", "/train/{job_id}", Scope.TRAIN, 404, JOB),
    Ask("GET", "/train/{job_id}/events", Scope.TRAIN, 404, f"{JOB}/events"),
    Ask("POST", "/train/{job_id}/cancel", Scope.TRAIN, 404, f"{JOB}/cancel"),
    Ask("POST", "/train/{job_id}/resume", Scope.TRAIN, 404, f"{JOB}/resume"),
    Ask("GET", "/info", None, 200),
    Ask("GET", "/metrics", Scope.METRICS, 200, is_operators=True),
)  # fmt: skip
SCRAPED = ("/info", "/metrics")  # scrapers add parameters of their own


@dataclass(frozen=True, slots=True)
class Guarded:
    """A server that asks for keys, and a key of each kind."""

    live: LiveServer
    data_dir: Path
    keys: dict[str, str]

    def with_store(self, work: Callable[[KeyStore], Awaitable[Returned]]) -> Returned:
        """Change keys as the command line does: beside the server."""
        return with_store(self.data_dir, work)


def with_store(data_dir: Path, work: Callable[[KeyStore], Awaitable[Returned]]) -> Returned:
    async def run() -> Returned:
        with EmbeddedValkey(data_dir) as valkey:
            async with connect(valkey.url) as redis:
                return await work(KeyStore(redis))

    return asyncio.run(run())


def bearer(key: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {key}"}


def make_key(data_dir: Path, scope: Scope, tenant: str = "default", **more: Any) -> str:
    token, _ = with_store(data_dir, lambda store: store.create(tenant, [scope], **more))
    return token.text


@pytest.fixture(scope="module")
def guarded(tiny_bert_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Guarded]:
    """Adapters get in while there are no keys; then there are some."""
    data_dir = tmp_path_factory.mktemp("guarded")
    settings = Settings(data_dir=data_dir, base=str(tiny_bert_folder), drain_timeout_s=1)
    with live_server(settings) as live:
        publish(live, "mood", seed=1)
        keys = {scope.value: make_key(data_dir, scope) for scope in Scope}
        for tenant in ("acme", "other", "shared"):
            keys[tenant] = make_key(data_dir, Scope.ADMIN, tenant)
        wait_until(lambda: live.services.keyring.has_keys)
        yield Guarded(live, data_dir, keys)


@pytest.fixture
def http(guarded: Guarded) -> Iterator[httpx.Client]:
    """A client without a key."""
    with httpx.Client(base_url=guarded.live.url, timeout=30) as client:
        yield client


def named(ask: Ask) -> str:
    return f"{ask.method} {ask.template}"


def routes_of(routes: Iterable[Any]) -> Iterator[Any]:
    """The route table, included routers unfolded."""
    for route in routes:
        if (router := getattr(route, "original_router", None)) is not None:
            yield from routes_of(router.routes)
        else:
            yield route


def test_every_route_says_whom_it_is_for(guarded: Guarded) -> None:
    table = {(ask.method, ask.template): ask for ask in ASKS}
    seen = set()
    for route in routes_of(guarded.live.app.routes):
        assert isinstance(route, Route | APIRoute), f"{route} is of a kind that nobody guards"
        if route.path in OPEN:
            continue
        assert isinstance(route, APIRoute)
        assert route.methods
        (needs,) = [d.dependency for d in route.dependencies if isinstance(d.dependency, Needs)]
        for method in route.methods:
            ask = table[method, route.path]
            assert needs.scopes == ask.scopes
            assert needs.is_operators == ask.is_operators
            seen.add((method, route.path))
    assert seen == table.keys()


@pytest.mark.parametrize("ask", ASKS, ids=named)
def test_every_route_without_a_key(http: httpx.Client, ask: Ask) -> None:
    error_of(ask.send(http), 401, "unauthorized", "needs an API key", "skhost keys create")


@pytest.mark.parametrize("ask", ASKS, ids=named)
def test_every_route_with_wrong_keys(guarded: Guarded, http: httpx.Client, ask: Ask) -> None:
    wrong = [new_token().text, guarded.keys["admin"][:-1] + "-", "x", "skh_"]
    wrong.append(f"{guarded.keys['admin'][:17]}{new_token().text[17:]}")  # another one's secret
    for key in wrong:
        answer = ask.send(http, **bearer(key))
        error_of(answer, 401, "unauthorized", "none of this server's")
        assert answer.headers["WWW-Authenticate"] == 'Bearer realm="skhost", error="invalid_token"'


@pytest.mark.parametrize("scope", Scope)
@pytest.mark.parametrize("ask", ASKS, ids=named)
def test_every_route_with_every_scope(
    guarded: Guarded, http: httpx.Client, ask: Ask, scope: Scope
) -> None:
    answer = ask.send(http, **bearer(guarded.keys[scope]))
    if scope in (*ask.scopes, Scope.ADMIN):
        assert answer.status_code == ask.status, answer.text
    else:
        needed = " or ".join(ask.scopes)
        error_of(answer, 403, "forbidden", f"the scope {needed}", f"has {scope}")
        assert f'scope="{ask.scopes[0]}"' in answer.headers["WWW-Authenticate"]


@pytest.mark.parametrize("ask", [a for a in ASKS if a.template not in SCRAPED], ids=named)
def test_no_route_overlooks_a_parameter_that_it_does_not_know(
    guarded: Guarded, http: httpx.Client, ask: Ask
) -> None:
    path = httpx.URL(ask.path or ask.template).copy_add_param("dry_run", "true")
    answer = replace(ask, path=str(path)).send(http, **bearer(guarded.keys["admin"]))
    error_of(answer, 422, "invalid_request", "unknown query parameter 'dry_run'")


@pytest.mark.parametrize("path", sorted(OPEN))
def test_health_and_interface_need_no_key(http: httpx.Client, path: str) -> None:
    assert http.get(path).status_code == 200
    assert http.get(path, headers=bearer("x")).status_code == 200


def test_what_does_not_exist_needs_a_key_too(guarded: Guarded, http: httpx.Client) -> None:
    error_of(http.get("/nothing"), 401, "unauthorized")
    error_of(http.get("/nothing", headers=bearer(guarded.keys["classify"])), 404, "not_found")


def test_a_body_is_not_read_before_the_key(guarded: Guarded, http: httpx.Client) -> None:
    pulled = 0

    def body() -> Iterator[bytes]:
        nonlocal pulled
        for _ in range(64):
            pulled += 1
            yield b"x" * (1 << 20)

    for path in ("/adapters/x/import", "/train", "/classify?adapter=mood"):
        pulled = 0
        try:
            answer = http.post(path, content=body())
        except (httpx.WriteError, httpx.ReadError):  # it closed the connection on the sender
            assert pulled < 64
        else:
            error_of(answer, 401, "unauthorized")


def test_a_key_works_at_once_and_opens_nothing_within_a_second_of_its_end(
    guarded: Guarded, http: httpx.Client
) -> None:
    key = make_key(guarded.data_dir, Scope.CLASSIFY)
    assert http.get("/adapters", headers=bearer(key)).status_code == 200
    guarded.with_store(lambda store: store.revoke(key.split("_")[1]))
    wait_until(lambda: http.get("/adapters", headers=bearer(key)).status_code == 401, 1.0)
    error_of(http.get("/adapters", headers=bearer(key)), 401, "unauthorized", "is revoked")


def test_the_events_of_a_job_end_with_their_key(guarded: Guarded, http: httpx.Client) -> None:
    key = make_key(guarded.data_dir, Scope.TRAIN, "leaving")
    files, form = {"file": ("a.jsonl", ROWS.encode())}, {"name": "followed"}
    answer = http.post("/train", data=form, files=files, headers=bearer(key))
    job_id = answer.json()["id"]
    with http.stream("GET", f"/train/{job_id}/events", headers=bearer(key)) as response:
        events = parse_events(response.iter_lines())
        assert [next(events).kind for _ in range(2)] == ["state", "waiting"]
        with Client(guarded.live.url, api_key=key) as client:
            followed = client.events(job_id)
            next(followed)
            guarded.with_store(lambda store: store.revoke(key.split("_")[1]))
            (last,) = events
            assert (last.kind, last.data["code"]) == ("error", "unauthorized")
            assert "is revoked" in last.data["message"]
            assert last.data["request_id"] == response.headers["X-Request-ID"]
            with pytest.raises(ApiError, match="is revoked"):
                list(followed)


def test_a_stream_of_rows_ends_with_its_key(guarded: Guarded, http: httpx.Client) -> None:
    key = make_key(guarded.data_dir, Scope.CLASSIFY)
    with conversation(guarded.live.url, headers=bearer(key)) as stream:
        stream.send({"text": "good"})
        assert stream.take()["label"]
        guarded.with_store(lambda store: store.revoke(key.split("_")[1]))
        wait_until(lambda: http.get("/adapters", headers=bearer(key)).status_code == 401)
        stream.send({"text": "good"})
        (last,) = stream.rest()
    assert (last["end"]["rows"], last["end"]["error"]["code"]) == (1, "unauthorized")


def test_a_stream_that_is_silent_ends_with_its_key(guarded: Guarded) -> None:
    key = make_key(guarded.data_dir, Scope.CLASSIFY)
    with conversation(guarded.live.url, headers=bearer(key)) as stream:
        stream.send({"text": "good"})
        assert stream.take()["label"]
        guarded.with_store(lambda store: store.revoke(key.split("_")[1]))
        (last,) = stream.rest()
    assert (last["end"]["rows"], last["end"]["error"]["code"]) == (1, "unauthorized")
    assert "is revoked" in last["end"]["error"]["message"]


def test_a_stream_whose_key_ends_before_its_first_row_is_refused(guarded: Guarded) -> None:
    key = make_key(guarded.data_dir, Scope.CLASSIFY)
    with conversation(guarded.live.url, headers=bearer(key)) as stream:
        wait_until(lambda: guarded.live.services.drain.active == 1)
        guarded.with_store(lambda store: store.revoke(key.split("_")[1]))
        assert stream.answer.status == 401
        assert b"is revoked" in stream.answer.read()


def test_an_expired_key_opens_nothing(guarded: Guarded, http: httpx.Client) -> None:
    key = make_key(guarded.data_dir, Scope.CLASSIFY, expires_at=1.0)
    error_of(http.get("/adapters", headers=bearer(key)), 401, "unauthorized", "is expired")


def test_rotation_keeps_the_old_key_for_a_while(guarded: Guarded, http: httpx.Client) -> None:
    old = make_key(guarded.data_dir, Scope.TRAIN)
    key_id = old.split("_")[1]
    new, record = guarded.with_store(lambda store: store.rotate(key_id, 3600.0))
    assert record.scopes == {Scope.TRAIN}
    for key in (old, new.text):
        assert http.get("/train", headers=bearer(key)).status_code == 200
    guarded.with_store(lambda store: store.rotate(key_id, 0.0))
    wait_until(lambda: http.get("/train", headers=bearer(old)).status_code == 401)


def test_the_log_names_the_key_and_never_has_it(
    guarded: Guarded, http: httpx.Client, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("DEBUG")
    key = guarded.keys["classify"]
    secret = key.split("_")[2]
    ASKS[0].send(http, **bearer(key))
    answer = http.get("/metrics", headers=bearer(guarded.keys["admin"]))
    wait_until(lambda: any(getattr(r, "key", "") == key.split("_")[1] for r in caplog.records))
    assert secret not in caplog.text
    assert secret not in answer.text
    assert secret not in repr(guarded.live.services.keyring._granted)


def test_refusals_are_counted_by_their_reason(guarded: Guarded, http: httpx.Client) -> None:
    def counts() -> dict[str, float]:
        text = http.get("/metrics", headers=bearer(guarded.keys["admin"])).text
        return {
            sample.labels["reason"]: sample.value
            for family in text_string_to_metric_families(text)
            for sample in family.samples
            if sample.name == "skhost_access_refusals_total"
        }

    before = counts()
    revoked = make_key(guarded.data_dir, Scope.CLASSIFY)
    guarded.with_store(lambda store: store.revoke(revoked.split("_")[1]))
    wait_until(lambda: http.get("/info", headers=bearer(revoked)).status_code == 401)
    refused = counts().get("unknown_key", 0), counts()["revoked_key"]
    assert http.get("/adapters").status_code == 401
    http.get("/adapters", headers=bearer(new_token().text))
    http.get("/adapters", headers=bearer(revoked))
    http.get("/train", headers=bearer(guarded.keys["classify"]))
    http.get("/metrics", headers=bearer(guarded.keys["acme"]))
    after = counts()
    assert after["no_key"] == before.get("no_key", 0) + 1
    assert (after["unknown_key"], after["revoked_key"]) == (refused[0] + 1, refused[1] + 1)
    assert after["scope"] == before.get("scope", 0) + 1
    assert after["tenant"] == before.get("tenant", 0) + 1


def test_openapi_says_that_keys_are_bearer_tokens(http: httpx.Client) -> None:
    document = http.get("/openapi.json").json()
    (scheme,) = document["components"]["securitySchemes"].values()
    assert (scheme["type"], scheme["scheme"]) == ("http", "bearer")
    for ask in ASKS:
        operation = document["paths"][ask.template][ask.method.lower()]
        assert operation["security"]
        assert {"401", "403", "429"} <= operation["responses"].keys()


def test_known_keys_work_while_the_registry_is_away(tiny_bert_folder: Path, tmp_path: Path) -> None:
    with EmbeddedValkey(tmp_path / "registry") as valkey:
        settings = Settings(
            data_dir=tmp_path / "data", redis_url=valkey.url, base=str(tiny_bert_folder)
        )
        with live_server(settings) as live:
            publish(live, "mood", seed=1)
            key = make_key_at(valkey.url)
            wait_until(lambda: live.services.keyring.has_keys)
            valkey.stop()
            with httpx.Client(base_url=live.url, timeout=60) as http:
                assert ASKS[0].send(http, **bearer(key)).status_code == 200
                unknown = ASKS[0].send(http, **bearer(new_token().text))
                error_of(unknown, 503, "registry_unavailable", "not known here")
                error_of(ASKS[0].send(http, **bearer("x")), 401, "unauthorized")


def test_an_admin_key_works_without_a_registry(tiny_bert_folder: Path, tmp_path: Path) -> None:
    token = new_token()
    hidden = f"skh_{token.id}_sha256:{token.hash}"
    settings = Settings(
        data_dir=tmp_path,
        redis_url=f"unix://{tmp_path}/nothing",
        base=str(tiny_bert_folder),
        host="0.0.0.0",
        admin_key=SecretStr(hidden),
    )
    with live_server(settings) as live, httpx.Client(base_url=live.url, timeout=60) as http:
        error_of(http.get("/info"), 503, "registry_unavailable", "have not been read")
        unknown = http.get("/info", headers=bearer(new_token().text))
        error_of(unknown, 503, "registry_unavailable")
        assert http.get("/info", headers=bearer(token.text)).status_code == 200
        assert hidden not in str(settings)


def make_key_at(url: str, scope: Scope = Scope.CLASSIFY) -> str:
    async def run() -> str:
        async with connect(url) as redis:
            return (await KeyStore(redis).create("default", [scope]))[0].text

    return asyncio.run(run())


# tenants


@dataclass(frozen=True, slots=True)
class Theirs:
    """What the tenant acme has."""

    adapter: str
    job: str


@pytest.fixture(scope="module")
def theirs(guarded: Guarded) -> Theirs:
    """An adapter and a job of the tenant acme; a shared adapter stands beside them."""
    acme = bearer(guarded.keys["acme"])
    publish(guarded.live, "acmes", seed=2, headers=acme)
    publish(guarded.live, "mood", seed=3, headers=acme)
    publish(guarded.live, "common", seed=4, headers=bearer(guarded.keys["shared"]))
    answer = httpx.post(
        f"{guarded.live.url}/train",
        data={"name": "in-training"},
        files={"file": ("a.jsonl", ROWS.encode())},
        headers=acme,
        timeout=60,
    )
    assert answer.status_code == 202, answer.text
    return Theirs("acmes", answer.json()["id"])


def about(adapter: str, job: str) -> tuple[Ask, ...]:
    """Every way to ask about one adapter or job."""
    at, of = f"/adapters/{adapter}", f"/train/{job}"
    return (
        Ask("POST", "", None, 404, f"/classify?adapter={adapter}", json(text="a")),
        Ask("POST", "", None, 404, f"/classify?adapter={adapter}@1", json(text="a")),
        Ask(
            "POST",
            "",
            None,
            404,
            f"/classify/stream?adapter={adapter}",
            (("content", b'{"text": "a"}\n'),),
        ),
        Ask("GET", "", None, 404, at),
        Ask("GET", "", None, 404, f"{at}/versions"),
        Ask("GET", "", None, 404, f"{at}/export"),
        Ask("POST", "", None, 404, f"{at}/promote", json(version=1)),
        Ask("POST", "", None, 404, f"{at}/rollback"),
        Ask("PUT", "", None, 404, f"{at}/aliases/b", json(version=1)),
        Ask("DELETE", "", None, 404, f"{at}/aliases/prod"),
        Ask("PUT", "", None, 404, f"{at}/pin"),
        Ask("DELETE", "", None, 404, f"{at}/pin"),
        Ask("DELETE", "", None, 404, f"{at}/versions/1/quarantine"),
        Ask("DELETE", "", None, 404, f"{at}@1"),
        Ask("DELETE", "", None, 404, at),
        Ask("GET", "", None, 404, of),
        Ask("GET", "", None, 404, f"{of}/events"),
        Ask("POST", "", None, 404, f"{of}/cancel"),
        Ask("POST", "", None, 404, f"{of}/resume"),
    )


def test_no_route_about_an_adapter_or_a_job_is_left_out() -> None:
    """But import, which makes an adapter of one's own under that name."""
    asked = [(ask.method, ask.path) for ask in about("somebodys", NO_SUCH_JOB)]
    for ask in ASKS:
        if "{" in ask.template and not ask.template.endswith("/import"):
            form = re.sub(r"\{\w+\}", "[^/]+", ask.template)
            assert any(m == ask.method and re.fullmatch(form, path) for m, path in asked), ask


def test_another_tenants_adapter_and_job_are_as_if_they_did_not_exist(
    guarded: Guarded, http: httpx.Client, theirs: Theirs
) -> None:
    nobody = "xyzzy"
    for name in ("other", "admin"):
        key = bearer(guarded.keys[name])
        hidden = about(theirs.adapter, theirs.job)
        for ask, absent in zip(hidden, about(nobody, NO_SUCH_JOB), strict=True):
            answer, unknown = ask.send(http, **key), absent.send(http, **key)
            assert answer.status_code == unknown.status_code == 404, (ask.path, answer.text)
            error, reference = answer.json()["error"], unknown.json()["error"]
            del error["request_id"], reference["request_id"]
            seen = str(error).replace(theirs.adapter, nobody).replace(theirs.job, NO_SUCH_JOB)
            assert seen == str(reference), ask.path
    for ask in about(theirs.adapter, theirs.job)[:6]:
        assert ask.send(http, **bearer(guarded.keys["acme"])).status_code == 200, ask.path


def test_lists_have_what_is_ones_own_and_shared_adapters(
    guarded: Guarded, http: httpx.Client, theirs: Theirs
) -> None:
    def adapters(name: str, query: str = "") -> list[tuple[str, str]]:
        page = http.get(f"/adapters{query}", headers=bearer(guarded.keys[name])).json()
        found = [(each["name"], each["tenant"]) for each in page["adapters"]]
        if page["next_cursor"]:
            found += adapters(name, f"?limit=1&cursor={page['next_cursor']}")
        return found

    def jobs(name: str) -> list[str]:
        page = http.get("/train", headers=bearer(guarded.keys[name])).json()
        return [job["id"] for job in page["jobs"]]

    everything = [("acmes", "acme"), ("common", "shared"), ("mood", "acme")]
    assert adapters("acme") == adapters("acme", "?limit=1") == everything
    assert adapters("other") == [("common", "shared")]
    assert adapters("admin") == [("common", "shared"), ("mood", "default")]
    assert jobs("acme") == [theirs.job]
    assert jobs("other") == jobs("admin") == []


def test_a_name_means_ones_own_adapter(
    guarded: Guarded, http: httpx.Client, theirs: Theirs
) -> None:
    digests = {
        name: ASKS[0].send(http, **bearer(guarded.keys[name])).json()["digest"]
        for name in ("acme", "admin")
    }
    assert digests["acme"] != digests["admin"]


def test_shared_adapters_are_read_by_all_and_changed_by_their_own_tenant(
    guarded: Guarded, http: httpx.Client, theirs: Theirs
) -> None:
    asks = about("common", NO_SUCH_JOB)[:13]
    for ask in asks[:6]:
        assert ask.send(http, **bearer(guarded.keys["other"])).status_code == 200, ask.path
    for ask in asks[6:]:
        error_of(ask.send(http, **bearer(guarded.keys["other"])), 404, "adapter_not_found")
    changed = asks[6].send(http, **bearer(guarded.keys["shared"]))
    assert changed.status_code == 200


def test_what_is_about_all_tenants_is_for_the_operator(
    guarded: Guarded, http: httpx.Client, theirs: Theirs
) -> None:
    acme, operator = bearer(guarded.keys["acme"]), bearer(guarded.keys["admin"])
    error_of(http.get("/metrics", headers=acme), 403, "forbidden")
    theirs_to_scrape = bearer(make_key(guarded.data_dir, Scope.METRICS, "acme"))
    error_of(http.get("/metrics", headers=theirs_to_scrape), 403, "forbidden", "own tenant")
    assert http.get("/info", headers=acme).json()["registry"]["adapters"] == 2
    ASKS[0].send(http, **acme)
    assert 'adapter="acme/mood"' in http.get("/metrics", headers=operator).text
