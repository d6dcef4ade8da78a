"""What the client makes of streams and of servers that come back."""

import json
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
from live_server import LiveServer, live_server, publish

from skhost.client import ApiError, Client, Event, parse_events
from skhost.settings import Settings

ROWS = "".join(json.dumps({"text": f"t {i}", "label": f"l{i % 2}"}) + "\n" for i in range(20))


@pytest.mark.parametrize(
    ("text", "events"),
    [
        ("id: 1-0\nevent: state\ndata: {}\n\n", [Event("1-0", "state", {})]),
        (": ping\n\ndata: {}\n\n", [Event("", "message", {})]),
        ('data: {"a":\ndata: 1}\n\n', [Event("", "message", {"a": 1})]),
        ("event: state\n\n", []),
        ("data: {}", []),
    ],
)
def test_server_sent_events_are_read_by_the_book(text: str, events: list[Event]) -> None:
    assert list(parse_events(iter(text.split("\n")))) == events


@pytest.fixture
def live(tiny_bert_folder: Path, tmp_path: Path) -> Iterator[LiveServer]:
    with live_server(Settings(data_dir=tmp_path, base=str(tiny_bert_folder))) as live:
        yield live


def test_a_refusal_carries_all_that_the_body_says(live: LiveServer) -> None:
    publish(live, "mood")
    with Client(live.url) as client, pytest.raises(ApiError) as caught:
        client.classify("mod", text="good")
    error = caught.value
    assert (error.status, error.code) == (404, "adapter_not_found")
    assert error.details == {"near": ["mood"]}
    assert error.request_id


def test_events_go_on_behind_the_last_one_after_a_break(
    tiny_bert_folder: Path, tmp_path: Path
) -> None:
    """The server goes away in the middle and another one comes back on the same data."""
    settings = Settings(data_dir=tmp_path / "data", base=str(tiny_bert_folder))
    file = tmp_path / "rows.jsonl"
    file.write_text(ROWS)
    with ExitStack() as stack:
        with live_server(settings) as first:
            client = stack.enter_context(Client(first.url))
            job_id = client.train(file, "n")["id"]
            events = client.events(job_id)
            seen = [next(events)]
        assert not client.is_ready()
        port = int(first.url.rpartition(":")[2])
        with live_server(settings.model_copy(update={"port": port})):
            client.cancel(job_id)
            seen += events
            assert seen == list(client.events(job_id))
    assert [event.data.get("state") for event in seen] == ["queued", None, "cancelled"]


def test_an_export_that_breaks_off_leaves_no_file(live: LiveServer, tmp_path: Path) -> None:
    target = tmp_path / "out.tar.gz"
    with Client(live.url) as client, pytest.raises(ApiError, match="no adapter is called"):
        client.export("nobody", target)
    assert not target.exists()
    assert not target.with_name("out.tar.gz.part").exists()


def test_a_server_that_is_not_there_is_unreachable() -> None:
    with Client("http://127.0.0.1:9") as client:
        with pytest.raises(ApiError, match="`skhost up` starts a server") as caught:
            client.info()
        assert caught.value.code == "unreachable"
        assert not client.is_ready()
