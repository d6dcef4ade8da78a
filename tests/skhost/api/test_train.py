"""POST /train and its jobs over HTTP; no worker runs here, so jobs stay where they are put."""

import json
from collections.abc import Iterator
from typing import Any
from uuid import uuid4

import httpx
import pytest
from live_server import LiveServer, error_of, wait_until

from skhost.client import parse_events

ROWS = [
    {"text": f"{word} text {i}", "label": label}
    for i in range(12)
    for word, label in (("good", "positive"), ("bad", "negative"))
]
LINES = "".join(json.dumps(row) + "\n" for row in ROWS).encode()


@pytest.fixture
def name(http: httpx.Client) -> Iterator[str]:
    """A name that nothing trains; its jobs are cancelled at the end."""
    name = f"t-{uuid4().hex[:8]}"
    yield name
    for job in http.get("/train", params={"name": name}).json()["jobs"]:
        if not job["is_terminal"]:
            http.post(f"/train/{job['id']}/cancel")


def submit(
    http: httpx.Client,
    name: str,
    content: bytes = LINES,
    *,
    filename: str = "rows.jsonl",
    headers: dict[str, str] | None = None,
    **fields: str,
) -> httpx.Response:
    return http.post(
        "/train",
        data={"name": name, **fields},
        files={"file": (filename, content)},
        headers=headers or {},
    )


def test_an_accepted_file_becomes_a_queued_job_with_a_report(http: httpx.Client, name: str) -> None:
    answer = submit(http, name, epochs="2", rank="4", prompt_text="say how it feels")
    assert answer.status_code == 202, answer.text
    job = answer.json()
    assert answer.headers["Location"] == f"/train/{job['id']}"
    assert (job["name"], job["state"], job["is_terminal"]) == (name, "queued", False)
    assert job["dataset"]["num_rows"] == 24
    assert job["dataset"]["task"] == "single-label"
    assert {row["label"] for row in job["dataset"]["labels"]} == {"positive", "negative"}
    assert job["request"]["spec"]["rank"] == 4
    assert job["request"]["spec"]["training"]["epochs"] == 2
    assert job["request"]["spec"]["prompt_text"] == "say how it feels"


def test_a_job_without_a_worker_waits_and_says_so(http: httpx.Client, name: str) -> None:
    job = http.get(submit(http, name).headers["Location"]).json()
    assert job["waiting_for_worker"] is True
    assert "no worker is running, so the job waits for one" in job["message"]


def test_a_second_training_of_the_same_name_is_refused_and_leaves_nothing(
    http: httpx.Client, live: LiveServer, name: str
) -> None:
    first = submit(http, name).json()
    before = _stored(live)
    error = error_of(submit(http, name), 409, "job_in_progress", name, first["id"])
    assert error["details"]["job_id"] == first["id"]
    assert _stored(live) == before


def test_the_same_idempotency_key_gives_the_same_job(
    http: httpx.Client, live: LiveServer, name: str
) -> None:
    key = {"Idempotency-Key": uuid4().hex}
    first = submit(http, name, headers=key).json()
    before = _stored(live)
    again = submit(http, name, headers=key)
    assert again.status_code == 202
    assert again.json()["id"] == first["id"]
    assert _stored(live) == before


@pytest.mark.parametrize(
    ("content", "filename", "message"),
    [
        (b"", "empty.csv", "empty.csv"),
        (b"id,text,comment\n1,good,x\n2,bad,y\n", "a.csv", "label"),
        (b'{"text": "a", "label": "x"}\n' * 4, "one.jsonl", "at least two"),
        (b"PK\x03\x04" + bytes(100), "book.csv", "book.csv"),
        (b"\xff\xfe\x00\x01garbage", "odd.bin", "odd.bin"),
        (b'{"text": "a"', "cut.jsonl", "cut.jsonl"),
    ],
)
def test_a_file_that_cannot_be_trained_on_is_refused_and_leaves_nothing(
    http: httpx.Client, live: LiveServer, name: str, content: bytes, filename: str, message: str
) -> None:
    before = _stored(live)
    error = error_of(submit(http, name, content, filename=filename), 422, "upload_refused", message)
    assert error["details"]["problems"]
    assert _stored(live) == before
    assert http.get("/train", params={"name": name}).json()["jobs"] == []


def test_bad_rows_are_listed_or_skipped_on_request(http: httpx.Client, name: str) -> None:
    content = LINES + b'{"text": "", "label": "positive"}\n{"label": "negative"}\n'
    error = error_of(submit(http, name, content), 422, "upload_refused", "on_bad_rows=skip")
    assert {problem["line"] for problem in error["details"]["problems"]} == {25, 26}
    job = submit(http, name, content, on_bad_rows="skip").json()
    assert (job["dataset"]["num_used"], job["dataset"]["num_skipped"]) == (24, 2)


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"epoch": "3"}, "unknown field 'epoch'; did you mean 'epochs'?"),
        ({"epochs": "many"}, "epochs: input should be a valid integer"),
        ({"epochs": "0"}, "epochs: input should be greater than or equal to 1, got '0'"),
        ({"learning_rate": "nan"}, "learning_rate: input should be"),
        ({"method": "lora"}, "method: input should be 'sk-prefix' or 'sk-prompt', got 'lora'"),
        ({"task": "summary"}, "task: input should be 'single-label'"),
        ({"gate": "maybe"}, "gate: input should be 'not_worse', 'always' or 'never'"),
        ({"on_bad_rows": "ignore"}, "on_bad_rows: input should be 'refuse' or 'skip'"),
        ({"held_out_fraction": "0.9"}, "held_out_fraction: input should be less than or equal"),
        ({"name": "Not A Name"}, "name: adapter name 'Not A Name'"),
        ({"name": ""}, "name is required"),
    ],
)
def test_a_field_that_cannot_work_is_named(
    http: httpx.Client, fields: dict[str, str], message: str
) -> None:
    answer = http.post(
        "/train", data={"name": "n", **fields}, files={"file": ("rows.jsonl", LINES)}
    )
    error_of(answer, 422, "invalid_request", message)


def test_a_field_sent_empty_is_as_good_as_none(http: httpx.Client, name: str) -> None:
    job = submit(http, name, epochs="", task="").json()
    assert job["request"]["task"] is None


def test_columns_can_be_named(http: httpx.Client, name: str) -> None:
    content = b"remark,kind\n" + b"".join(b"t %d,k%d\n" % (i, i % 2) for i in range(20))
    error_of(submit(http, name, content, filename="a.csv"), 422, "upload_refused")
    job = submit(
        http, name, content, filename="a.csv", text_column="remark", label_column="kind"
    ).json()
    assert job["dataset"]["columns"]["text"] == "remark"


def test_a_held_out_file_is_read_besides(http: httpx.Client, name: str) -> None:
    files = {"file": ("a.jsonl", LINES), "held_out": ("b.jsonl", LINES)}
    answer = http.post("/train", data={"name": name}, files=files)
    assert answer.status_code == 202, answer.text
    assert answer.json()["dataset"]["held_out_from"] == "a second file, b.jsonl"
    assert [upload["role"] for upload in answer.json()["uploads"]] == ["train", "held_out"]


def test_a_file_beyond_the_limit_is_refused_while_it_arrives(
    http: httpx.Client, live: LiveServer, name: str
) -> None:
    before = _stored(live)
    answer = submit(http, name, LINES * 300)
    error_of(answer, 413, "upload_too_large", "the file may have 262,144 bytes; more arrived")
    assert _stored(live) == before


BOUNDARY = "x"
FORM = {"Content-Type": f"multipart/form-data; boundary={BOUNDARY}"}


def part(disposition: str, content: bytes = b"v") -> bytes:
    header = f"--{BOUNDARY}\r\nContent-Disposition: {disposition}\r\n\r\n".encode()
    return header + content + b"\r\n"


END = f"--{BOUNDARY}--\r\n".encode()


@pytest.mark.parametrize(
    ("content", "headers", "message"),
    [
        (b"{}", {"Content-Type": "application/json"}, "send the file as a multipart form"),
        (b"", {"Content-Type": "multipart/form-data"}, "send the file as a multipart form"),
        (part('form-data; name="name"', b"n") + END, FORM, "the form has no file"),
        (part('form-data; name="name"', b"n"), FORM, "ends before its last boundary"),
        (b"no boundary at all", FORM, "the multipart form is broken"),
        (part("form-data") + END, FORM, "a part of the form has no name"),
        (part('form-data; name="a"') * 2 + END, FORM, "the form has 'a' twice"),
        (
            b"".join(part(f'form-data; name="f{i}"') for i in range(70)) + END,
            FORM,
            "more than 64 parts",
        ),
        (part('form-data; name="name"', b"x" * 70_000) + END, FORM, "longer than 65,536 bytes"),
        (part('form-data; name="name"', b"\xff") + END, FORM, "field 'name' is not UTF-8"),
        (
            part('form-data; name="data"; filename="a.csv"') + END,
            FORM,
            "the form has a file 'data'; the files are: file, held_out",
        ),
    ],
)
def test_a_form_that_cannot_be_read_says_why(
    http: httpx.Client, content: bytes, headers: dict[str, str], message: str
) -> None:
    error_of(http.post("/train", content=content, headers=headers), 422, "invalid_request", message)


def test_an_upload_that_breaks_off_leaves_nothing(live: LiveServer, name: str) -> None:
    before = _stored(live)

    def chunks() -> Iterator[bytes]:
        yield part('form-data; name="name"', name.encode())
        yield part('form-data; name="file"; filename="a"', LINES)
        raise ConnectionAbortedError("the client has had enough")

    with pytest.raises(ConnectionAbortedError):
        httpx.post(f"{live.url}/train", content=chunks(), headers=FORM)
    wait_until(lambda: _stored(live) == before)


def test_events_can_be_followed_from_the_start_and_from_any_event(
    http: httpx.Client, name: str
) -> None:
    job_id = submit(http, name).json()["id"]
    http.get(f"/train/{job_id}")  # notices that there is no worker
    http.post(f"/train/{job_id}/cancel")
    events = _events(http, job_id)
    assert [e.kind for e in events] == ["state", "waiting", "state"]
    assert [e.data.get("state") for e in events] == ["queued", None, "cancelled"]
    later = _events(http, job_id, {"Last-Event-ID": events[1].id})
    assert later == events[2:]


def _events(http: httpx.Client, job_id: str, headers: dict[str, str] | None = None) -> list[Any]:
    with http.stream("GET", f"/train/{job_id}/events", headers=headers or {}) as response:
        assert response.headers["Content-Type"].startswith("text/event-stream")
        return list(parse_events(response.iter_lines()))


def test_events_of_no_job_and_from_no_event(http: httpx.Client, name: str) -> None:
    error_of(http.get("/train/0123456789abcdef/events"), 404, "job_not_found")
    job_id = submit(http, name).json()["id"]
    bad = http.get(f"/train/{job_id}/events", headers={"Last-Event-ID": "yesterday"})
    error_of(bad, 422, "invalid_request", "'yesterday' is not an event id")


def test_a_job_is_cancelled_and_resumed(http: httpx.Client, name: str) -> None:
    job_id = submit(http, name).json()["id"]
    error_of(http.post(f"/train/{job_id}/resume"), 409, "job_state", "is queued")
    cancelled = http.post(f"/train/{job_id}/cancel").json()
    assert (cancelled["state"], cancelled["is_terminal"]) == ("cancelled", True)
    error_of(http.post(f"/train/{job_id}/cancel"), 409, "job_state", "cannot be cancelled")
    assert http.post(f"/train/{job_id}/resume").json()["state"] == "queued"


def test_jobs_are_listed_newest_first_page_by_page(http: httpx.Client, name: str) -> None:
    ids = []
    for _ in range(3):
        ids.append(submit(http, name).json()["id"])
        http.post(f"/train/{ids[-1]}/cancel")
    first = http.get("/train", params={"name": name, "limit": 2}).json()
    rest = http.get(
        "/train", params={"name": name, "limit": 2, "cursor": first["next_cursor"]}
    ).json()
    assert [job["id"] for job in first["jobs"] + rest["jobs"]] == ids[::-1]
    assert rest["next_cursor"] is None
    queued = http.get("/train", params={"name": name, "state": "queued"}).json()
    assert queued["jobs"] == []


@pytest.mark.parametrize(
    ("method", "path", "status", "code"),
    [
        ("GET", "/train/nothing", 404, "job_not_found"),
        ("POST", "/train/nothing/cancel", 404, "job_not_found"),
        ("POST", "/train/nothing/resume", 404, "job_not_found"),
        ("GET", "/train?cursor=zzz", 422, "invalid_request"),
        ("GET", "/train?state=lost", 422, "invalid_request"),
        ("GET", "/train?limit=1000", 422, "invalid_request"),
        ("GET", "/train?order=asc", 422, "invalid_request"),
    ],
)
def test_jobs_that_are_not_there(
    http: httpx.Client, method: str, path: str, status: int, code: str
) -> None:
    error_of(http.request(method, path), status, code)


def _stored(live: LiveServer) -> list[str]:
    """Every file of the store and of what is coming in."""
    data = live.services.settings.data_dir
    places = (data / "store", data / "incoming")
    return sorted(str(p) for place in places for p in place.rglob("*") if p.is_file())
