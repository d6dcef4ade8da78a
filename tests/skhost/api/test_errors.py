"""What bad input gets over HTTP: by status, code and message, always in the one body."""

import json
import re
from collections.abc import Iterator
from contextlib import closing
from http.client import HTTPConnection
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import httpx
import pytest
from live_server import LiveServer, error_of, live_server
from redis.exceptions import ConnectionError

from skhost import errors
from skhost.api.errors import translate
from skhost.app import create_app
from skhost.settings import Settings
from sktuning import errors as library

CLASSIFY = "/classify?adapter=mood"
NINE = ["good"] * 9


@pytest.mark.parametrize(
    "body",
    [
        b"[" * 60_000,
        b'{"text":' * 7_000,
        b'{"texts":' + b"[" * 30_000 + b"]" * 30_000 + b"}",
        b'{"text": "\xff"}',
        b'{"text": ' + b"9" * 5_000 + b"}",
    ],
)
@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("POST", CLASSIFY),
        ("POST", "/adapters"),
        ("POST", "/adapters/mood/promote"),
        ("POST", "/adapters/mood/rollback"),
        ("PUT", "/adapters/mood/aliases/stable"),
    ],
)
def test_a_body_that_no_parser_takes_is_invalid(
    http: httpx.Client, method: str, path: str, body: bytes
) -> None:
    answer = http.request(method, path, content=body, headers={"Content-Type": "application/json"})
    error_of(answer, 422, "invalid_request", "the body cannot be read")


@pytest.mark.parametrize(
    ("body", "message"),
    [
        ({}, "send exactly one of text, texts, pairs, tokens; got none of them"),
        ({"text": "a", "texts": ["b"]}, "exactly one of text, texts, pairs, tokens; got text and"),
        ({"text": 5}, "text: input should be a valid string, got 5 (int)"),
        ({"texts": ["a", None]}, "texts[1]: input should be a valid string, got None"),
        ({"texts": "good"}, "texts: input should be a valid list, got 'good'"),
        ({"texts": []}, "there is nothing to classify: the list is empty"),
        ({"texts": NINE}, "a request may have 8 texts, got 9; send them in several requests"),
        ({"pairs": [["a"]]}, "pairs[0]"),
        ({"pairs": ["ab"]}, "pairs[0]"),
        ({"tokens": ["a b"]}, "tokens[0]: input should be a valid list"),
        ({"txt": "a"}, "unknown field 'txt'; did you mean 'text'?"),
        ({"text": "a", "topk": 1}, "unknown field 'topk'; did you mean 'top_k'?"),
        ({"text": "a", "top_k": 0}, "top_k: input should be greater than or equal to 1, got 0"),
        ({"text": "a", "threshold": 1.5}, "threshold: input should be less than or equal to 1"),
        ({"text": "a", "threshold": "high"}, "threshold: input should be a valid number"),
        ({"text": "a", "scores": "all"}, "scores: input should be 'prob', 'logit' or 'none'"),
        ({"text": "a", "truncate": "no"}, "truncate: input should be a valid boolean"),
        ({"text": ""}, "the text is empty"),
        ({"text": "x" * 5_001}, "the text has 5,001 characters; at most 5,000 are read"),
        ({"text": "good " * 4_000}, "at most 5,000 are read"),
        ({"pairs": [["a", "b"]]}, None),
        ({"text": "a \ud800 surrogate"}, None),
        ([1], "the body must be a JSON object, got [1] (list)"),
        ("good", "the body must be"),
        (None, "the body must be a JSON object, got None"),
    ],
)
def test_a_body_that_cannot_be_used_says_what_was_seen(
    http: httpx.Client, body: Any, message: str | None
) -> None:
    answer = http.post(
        CLASSIFY, content=json.dumps(body), headers={"Content-Type": "application/json"}
    )
    if message is None:  # an outcome of the item, or of the parser; never a 500
        assert answer.status_code in {200, 422}
        return
    error_of(answer, 422, "invalid_request", message)


def test_a_long_or_odd_value_is_cut_and_escaped_in_messages(http: httpx.Client) -> None:
    answer = http.post(CLASSIFY, json={"text": {"<script>\n": "x" * 1000}})
    message = error_of(answer, 422, "invalid_request")["message"]
    assert len(message) < 300
    assert "\n" not in message


@pytest.mark.parametrize(
    ("content", "kind", "message"),
    [
        (b"{", "application/json", "the body is not valid JSON"),
        (b"", "application/json", "a JSON body is required"),
        (b"\xff\xfe", "application/json", "the body"),
        (b'{"text": "a"}', "text/plain", "sent as application/json, got text/plain"),
        (b"text=a", "application/x-www-form-urlencoded", "sent as application/json"),
    ],
)
def test_a_body_that_is_not_json_says_so(
    http: httpx.Client, content: bytes, kind: str, message: str
) -> None:
    answer = http.post(CLASSIFY, content=content, headers={"Content-Type": kind})
    error_of(answer, 422, "invalid_request", message)


@pytest.mark.parametrize(
    ("adapter", "status", "code", "message"),
    [
        ("mod", 404, "adapter_not_found", "no adapter is called 'mod'; did you mean mood"),
        ("mood@9", 404, "version_not_found", "adapter 'mood' has no version 9; it has 1, 2"),
        ("mood@old", 404, "alias_not_found", "adapter 'mood' has no alias 'old'; it has prod → 2"),
        ("mood@0", 422, "invalid_request", "version '0': a whole number from 1 up is needed"),
        ("Mood!", 422, "invalid_request", "adapter name 'Mood!'"),
        ("../etc", 422, "invalid_request", "adapter name '../etc'"),
        ("", 422, "invalid_request", "adapter name ''"),
        ("mood,", 422, "invalid_request", "adapter name ''"),
        ("mood,mood", 422, "invalid_request", "the same adapter is named twice"),
        ("mood,tone,rating,things", 422, "invalid_request", "may name 3 adapters, got 4"),
    ],
)
def test_an_adapter_that_cannot_answer(
    http: httpx.Client, adapter: str, status: int, code: str, message: str
) -> None:
    answer = http.post("/classify", params={"adapter": adapter}, json={"text": "good"})
    error_of(answer, status, code, message)


def test_near_names_are_in_the_details(http: httpx.Client) -> None:
    answer = http.post("/classify?adapter=mod", json={"text": "good"})
    assert error_of(answer, 404, "adapter_not_found")["details"] == {"near": ["mood"]}


def test_no_adapter_and_an_unknown_query_parameter(http: httpx.Client) -> None:
    missing = http.post("/classify", json={"text": "good"})
    error_of(missing, 422, "invalid_request", "adapter is required in the query (?adapter=…)")
    unknown = http.post("/classify?adapter=mood&adaptr=x", json={"text": "good"})
    error_of(unknown, 422, "invalid_request", "'adaptr'; did you mean 'adapter'?")


@pytest.mark.parametrize(
    ("adapter", "body", "message"),
    [
        ("same", {"text": "good"}, "this adapter compares two texts: send pairs"),
        ("mood", {"tokens": [["good"]]}, "this adapter reads texts, not rows of tokens"),
        ("mood", {"pairs": [["good", "bad"]]}, "this adapter reads single texts, not pairs"),
    ],
)
def test_the_wrong_kind_of_input_for_an_adapter(
    http: httpx.Client, adapter: str, body: Any, message: str
) -> None:
    answer = http.post("/classify", params={"adapter": adapter}, json=body)
    if "text" in body:
        error_of(answer, 422, "invalid_request", message)
    else:
        assert answer.json()["results"][0]["error"] == {"code": "invalid_input", "message": message}


def test_unknown_paths_and_methods(http: httpx.Client) -> None:
    error_of(http.get("/nowhere"), 404, "not_found", "there is nothing at '/nowhere'")
    wrong = http.get("/classify")
    error_of(wrong, 405, "method_not_allowed", "GET is not possible at '/classify'; use POST")
    assert wrong.headers["Allow"] == "POST"


def test_a_body_that_is_announced_too_large_is_refused_unread(http: httpx.Client) -> None:
    answer = http.post(CLASSIFY, json={"text": "x" * 70_000})
    error_of(answer, 413, "payload_too_large", "the body may have 65,536 bytes; 70,0")


def test_any_route_says_that_a_body_may_be_too_large(live: LiveServer) -> None:
    """But for a stream of rows, which has no limit."""
    paths = httpx.get(f"{live.url}/openapi.json").json()["paths"]
    asked = 0
    for path, operations in paths.items():
        for method in operations if path != "/classify/stream" else ():
            assert "413" in operations[method]["responses"], f"{method} {path}"
            with closing(HTTPConnection(urlsplit(live.url).netloc, timeout=30)) as connection:
                connection.putrequest(method.upper(), re.sub(r"{\w+}", "mood", path))
                connection.putheader("Content-Length", str(1 << 30))
                connection.endheaders()
                answer = connection.getresponse()
                assert (answer.status, json.load(answer)["error"]["code"]) == (
                    413,
                    "payload_too_large",
                )
            asked += 1
    assert asked > 20


def test_a_body_that_grows_too_large_is_refused_while_it_arrives(http: httpx.Client) -> None:
    def chunks() -> Iterator[bytes]:
        yield b'{"text": "'
        for _ in range(200):
            yield b"x" * 1000
        yield b'"}'

    answer = http.post(CLASSIFY, content=chunks(), headers={"Content-Type": "application/json"})
    error_of(answer, 413, "payload_too_large", "the body may have 65,536 bytes; more arrived")


@pytest.mark.parametrize("given", ["abc-123", "a" * 128])
def test_a_request_id_is_taken_over(http: httpx.Client, given: str) -> None:
    assert http.get("/livez", headers={"X-Request-ID": given}).headers["X-Request-ID"] == given


@pytest.mark.parametrize("given", ["", "a b", "a" * 129, "<x>", "a\tb"])
def test_a_request_id_that_could_do_harm_is_replaced(http: httpx.Client, given: str) -> None:
    answer = http.get("/nowhere", headers={"X-Request-ID": given})
    error = error_of(answer, 404, "not_found")
    assert error["request_id"] != given
    assert len(error["request_id"]) == 32


def test_an_error_of_ours_says_nothing_of_its_insides(
    tiny_bert_folder: Path, tmp_path: Path
) -> None:
    app = create_app(Settings(data_dir=tmp_path, base=str(tiny_bert_folder)))

    @app.get("/broken")
    async def broken() -> None:
        raise RuntimeError("the secret is 42")

    with live_server(Settings(), app) as live:
        answer = httpx.get(f"{live.url}/broken")
    error_of(answer, 500, "internal", "something went wrong on the server")
    assert "secret" not in answer.text


@pytest.mark.parametrize(
    ("error", "kind"),
    [
        (library.InputTooLong("x"), errors.InvalidRequest),
        (library.ConfigError("x"), errors.InvalidRequest),
        (library.DataError("x"), errors.UploadRefused),
        (library.BaseMismatch("x"), errors.BaseIncompatible),
        (library.SelfTestFailed("x"), errors.AdapterUnusable),
        (ConnectionError("redis://:secret@host"), errors.RegistryUnavailable),
        (errors.Overloaded("x"), errors.Overloaded),
    ],
)
def test_what_libraries_raise_becomes_an_error_of_ours(
    error: Exception, kind: type[errors.ServiceError]
) -> None:
    translated = translate(error)
    assert type(translated) is kind
    assert "secret" not in translated.message


def test_what_nobody_expects_stays_what_it_is() -> None:
    assert translate(RuntimeError("x")) is None
    assert translate(library.BaseLoadError("x")) is None
