"""What the supervisor hands its children."""

import socket
from pathlib import Path

import pytest

from skhost.server import CannotListen, bind, url_of
from skhost.settings import Settings
from skhost.supervise import child_environment


def test_a_child_gets_the_settings_as_they_are_here(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SKHOST_PORT", "1234")
    monkeypatch.setenv("SKHOST_LOG_FORMAT", "json")
    monkeypatch.chdir(tmp_path)
    ours = Settings(port=0, max_waiting_items=7, worker_nice=3, data_dir=Path("data"))
    environment = child_environment(ours, "unix:///tmp/x.sock")
    with monkeypatch.context() as child:
        for name, value in environment.items():
            child.setenv(name, value)
        theirs = Settings()
    assert theirs.redis_url == "unix:///tmp/x.sock"
    assert theirs.data_dir == tmp_path / "data"
    expected = ours.model_dump(exclude={"redis_url", "data_dir"})
    assert theirs.model_dump(exclude={"redis_url", "data_dir"}) == expected


@pytest.mark.parametrize(
    ("host", "url"), [("127.0.0.1", "http://127.0.0.1:"), ("0.0.0.0", "http://127.0.0.1:")]
)
def test_a_listener_is_reached_at_its_url(host: str, url: str) -> None:
    with bind(host, 0) as listener:
        assert url_of(listener) == f"{url}{listener.getsockname()[1]}"
        port = listener.getsockname()[1]
        with socket.create_connection(("127.0.0.1", port), timeout=5):
            pass


def test_a_port_that_is_taken_says_what_to_do() -> None:
    with bind("127.0.0.1", 0) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(CannotListen, match=f"127.0.0.1:{port}: Address already in use"):
            bind("127.0.0.1", port)
