"""What must not happen: a text or a key in a log, or a connection that nobody asked for."""

import json
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import quote

import httpx
import pytest
from live_server import wait_until
from running_up import skhost_up

from skhost.access.token import new_token

MARKER = "zebra crossing"  # the text of somebody
ROWS = "".join(
    json.dumps({"text": f"{MARKER} {word} {number}", "label": label}) + "\n"
    for number in range(10)
    for word, label in (("good", "yes"), ("bad", "no"))
)
MIXED = ROWS.replace('"label": "no"', f'"label": ["{MARKER}"]', 3)
# Imported by every Python process before anything else: tells whom it talks to.
WATCHER = """
import os, sys

log = os.open(os.environ["CONNECTIONS"], os.O_WRONLY | os.O_APPEND | os.O_CREAT)

def hook(event, args):
    if event in ("socket.connect", "socket.sendto"):
        os.write(log, f"{event} {args[1]!r}\\n".encode())
    elif event in ("socket.getaddrinfo", "socket.gethostbyname", "socket.gethostbyaddr"):
        os.write(log, f"{event} {args[0]!r}\\n".encode())

sys.addaudithook(hook)
"""


@dataclass(frozen=True, slots=True)
class Told:
    """What a service left behind to which `MARKER` was sent everywhere, and a key with it."""

    log: str
    connections: list[str]
    secrets: tuple[str, ...]
    num_requests: int
    port: int  # of the server, which the supervisor asks whether it lives

    @property
    def lines(self) -> list[dict[str, Any]]:
        """The log, a line an object."""
        return [json.loads(line) for line in self.log.splitlines()]


@pytest.fixture(scope="module")
def told(tiny_bert_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Told:
    folder = tmp_path_factory.mktemp("privacy")
    (folder / "sitecustomize.py").write_text(WATCHER)
    key, wrong = new_token(), new_token()
    variables = {"CONNECTIONS": str(folder / "connections"), "PYTHONPATH": str(folder)}
    settings = {"log_level": "debug", "log_format": "json", "admin_key": key.text}
    with skhost_up(
        folder / "data", _with_path(variables), base=str(tiny_bert_folder), **settings
    ) as up:
        with httpx.Client(base_url=up.url, timeout=60) as http:
            bearer = {"Authorization": f"Bearer {key.text}"}
            num_requests = _train(http, bearer) + _classify(http, bearer)
            for headers in (bearer, {}, {"Authorization": f"Bearer {wrong.text}"}):
                num_requests += _everywhere(http, headers, key.text)
        assert up.stop() == 0
    return Told(
        up.log.read_text(),
        (folder / "connections").read_text().splitlines(),
        tuple(token.text.split("_")[2] for token in (key, wrong)),
        num_requests,
        httpx.URL(up.url).port or 0,
    )


def _with_path(variables: dict[str, str]) -> dict[str, str]:
    given = os.environ.get("PYTHONPATH")
    return variables | ({"PYTHONPATH": f"{variables['PYTHONPATH']}:{given}"} if given else {})


def _train(http: httpx.Client, headers: dict[str, str]) -> int:
    """A training that succeeds, and one that its rows do not allow."""
    for name, rows, ends in (("mood", ROWS, "succeeded"), ("mixed", MIXED, None)):
        files = {"file": (f"{MARKER}.jsonl", rows)}
        answer = http.post(
            "/train", files=files, data={"name": name, "epochs": "1"}, headers=headers
        )
        if ends is None and answer.status_code == 422:
            continue
        assert answer.status_code == 202, answer.text
        assert _end_of(http, answer.headers["Location"], headers) == (ends or "failed")
    return 2


def _end_of(http: httpx.Client, job: str, headers: dict[str, str]) -> str:
    def state() -> str:
        return str(http.get(job, headers=headers).json()["state"])

    wait_until(lambda: state() in {"succeeded", "failed"}, 200)
    return state()


def _classify(http: httpx.Client, headers: dict[str, str]) -> int:
    path = "/classify?adapter=mood"
    good = http.post(path, json={"texts": [MARKER, "", MARKER * 1000]}, headers=headers)
    assert [next(iter(item)) for item in good.json()["results"]] == ["label", "error", "label"]
    rows = json.dumps({"text": MARKER}) + f'\n{{"text": {MARKER}\n["{MARKER}"]\n'
    stream = http.post("/classify/stream?adapter=mood", content=rows, headers=headers)
    assert json.loads(stream.text.splitlines()[-1])["end"]["errors"] == 2
    return 2


def _everywhere(http: httpx.Client, headers: dict[str, str], key: str) -> int:
    """The marker in the path, the query, the headers and the body of every route."""
    paths: dict[str, Any] = http.get("/openapi.json").json()["paths"]
    bodies: list[dict[str, Any]] = [
        {"json": {"text": MARKER, "name": MARKER, "labels": [MARKER, MARKER], MARKER: MARKER}},
        {"content": f'{{"text": "{MARKER}', "headers": {"Content-Type": "application/json"}},
        {"content": MARKER, "headers": {"Content-Type": MARKER}},
        {"files": {"file": (MARKER, MARKER), MARKER: (MARKER, MARKER)}, "data": {"name": MARKER}},
    ]
    asked = [
        (method, path.replace("{", "").replace("}", ""), path)
        for path, methods in paths.items()
        for method in methods
        if path not in ("/livez", "/readyz", "/metrics")
    ]
    num_sent = 0
    for method, _, template in [*asked, ("get", "", f"/{MARKER}"), ("post", "", f"/{MARKER}")]:
        path = "/".join(quote(MARKER) if "{" in part else part for part in template.split("/"))
        for body in bodies if method in ("post", "put") else [{}]:
            more = dict(body)
            sent = {
                **headers,
                "X-Request-ID": MARKER,
                "User-Agent": MARKER,
                **more.pop("headers", {}),
            }
            query = {"adapter": MARKER, "cursor": MARKER, MARKER: MARKER, "key": key}
            answer = http.request(method, path, params=query, headers=sent, **more)
            assert answer.status_code < 500, answer.text
            num_sent += 1
    return num_sent


def test_no_text_of_anybody_is_logged(told: Told) -> None:
    assert "zebra" not in told.log
    assert "crossing" not in told.log


def test_no_key_is_logged(told: Told) -> None:
    assert [secret for secret in told.secrets if secret in told.log] == []


def test_every_request_is_logged_with_its_id(told: Told) -> None:
    requests = [line for line in told.lines if line["logger"] == "skhost.api.envelope"]
    assert len(requests) >= told.num_requests
    assert all(line["request_id"] and line["total_ms"] >= 0 for line in requests)
    assert all(MARKER not in line["request_id"] for line in requests)


def test_a_classification_is_logged_with_its_stages(told: Told) -> None:
    (line,) = [
        line
        for line in told.lines
        if line["message"] == "POST /classify 200" and line["logger"] == "skhost.api.envelope"
    ]
    assert (line["adapter"], line["version"]) == ("mood", "1")
    assert (line["items"], line["batch_items"]) == (3, 2)
    stages = [f"{stage}_ms" for stage in ("pin", "tokenise", "queue", "run", "decode")]
    assert all(line[stage] >= 0 for stage in stages)
    assert sum(line[stage] for stage in stages) <= line["total_ms"] + 1


def test_nothing_is_connected_to_but_its_own_parts(told: Told) -> None:
    """With default settings: no telemetry, no hub, no look for newer versions."""
    assert told.connections, "the watcher saw nothing"
    its_own = ("socket.connect '/", f"socket.connect ('127.0.0.1', {told.port})")
    elsewhere = [line for line in told.connections if not line.startswith(its_own)]
    assert elsewhere == []
