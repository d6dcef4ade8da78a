"""What is answered while Redis, the store or an artifact is missing, and that it comes back."""

import resource
import shutil
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Any

import httpx
import psutil
import pytest
from live_server import LiveServer, error_of, live_server, publish, wait_until

from skhost.settings import Settings
from skhost.valkey import EmbeddedValkey

Serve = Callable[..., AbstractContextManager[LiveServer]]
ROOM_BYTES = 1 << 16
ROWS = "".join(f'{{"text": "t {i}", "label": "l{i % 2}"}}\n' for i in range(20))


@pytest.fixture
def serve(tiny_bert_folder: Path, tmp_path: Path) -> Serve:
    """Starts servers on one data directory."""

    @contextmanager
    def serve(**settings: Any) -> Iterator[LiveServer]:
        values: dict[str, Any] = {
            "data_dir": tmp_path,
            "base": str(tiny_bert_folder),
            "broken_adapter_ttl_s": 0.1,
        }
        with live_server(Settings(**(values | settings))) as live:
            yield live

    return serve


def ask(live: LiveServer, adapter: str = "mood") -> httpx.Response:
    return httpx.post(f"{live.url}/classify?adapter={adapter}", json={"text": "good"}, timeout=200)


def train(live: LiveServer, rows: str = ROWS) -> httpx.Response:
    files = {"file": ("a.jsonl", rows.encode())}
    return httpx.post(f"{live.url}/train", data={"name": "n"}, files=files, timeout=200)


def degraded(live: LiveServer) -> list[str]:
    found: list[str] = httpx.get(f"{live.url}/readyz", timeout=200).json()["degraded"]
    return found


def test_a_registry_that_only_hangs_stops_no_answer_and_no_more(
    serve: Serve, tmp_path: Path
) -> None:
    with EmbeddedValkey(tmp_path / "registry") as valkey, serve(redis_url=valkey.url) as live:
        publish(live, "mood")
        publish(live, "mood", seed=2)
        before = ask(live).json()
        frozen = psutil.Process(valkey.pid)
        frozen.suspend()
        try:
            assert ask(live).json()["results"] == before["results"]
            error_of(train(live), 503, "registry_unavailable")
            promoted = httpx.post(
                f"{live.url}/adapters/mood/promote", json={"version": 1}, timeout=200
            )
            error_of(promoted, 503, "registry_unavailable")
            wait_until(lambda: degraded(live) != [], 60)
        finally:
            frozen.resume()
        wait_until(lambda: degraded(live) == [], 60)
        assert httpx.get(f"{live.url}/adapters/mood").json()["aliases"] == {"prod": 2}
        assert httpx.get(f"{live.url}/train").json()["jobs"] == []
        assert train(live).status_code == 202


def test_without_the_store_what_is_in_memory_answers(serve: Serve, tmp_path: Path) -> None:
    with serve() as live:
        publish(live, "mood")
        tone = publish(live, "tone", seed=3)
        before = ask(live).json()
        live.services.engine.residency.unload(tone["digest"])
        away = (tmp_path / "store").rename(tmp_path / "away")
        assert ask(live).json()["results"] == before["results"]
        gone = ask(live, "tone")
        error_of(gone, 503, "store_unavailable")
        assert int(gone.headers["Retry-After"]) >= 1
        away.rename(tmp_path / "store")
        assert ask(live, "tone").status_code == 200


def test_a_torn_artifact_takes_only_its_own_version_out_until_it_is_whole(
    serve: Serve, tmp_path: Path
) -> None:
    with serve() as live:
        publish(live, "mood")
        tone = publish(live, "tone", seed=3)
        before = ask(live, "tone").json()
        (folder,) = (tmp_path / "store").glob(f"*/adapters/sha256/{tone['digest'][7:]}")
        whole = tmp_path / "whole"
        shutil.copytree(folder, whole)
        for name in ("adapter_model.safetensors", "golden.json", "manifest.json"):
            live.services.engine.residency.unload(tone["digest"])
            content = (folder / name).read_bytes()
            (folder / name).write_bytes(content[: len(content) // 2])
            error_of(ask(live, "tone"), 424, "adapter_unusable")
            assert ask(live).status_code == 200
            (folder / name).write_bytes(content)
            wait_until(lambda: ask(live, "tone").status_code == 200)
        assert ask(live, "tone").json()["results"] == before["results"]


def test_a_server_that_starts_with_a_torn_artifact_says_so_until_it_is_mended(
    serve: Serve, tmp_path: Path
) -> None:
    with serve() as live:
        publish(live, "mood")
        tone = publish(live, "tone", seed=2)
    (folder,) = (tmp_path / "store").glob(f"*/adapters/sha256/{tone['digest'][7:]}")
    manifest = folder / "manifest.json"
    content = manifest.read_bytes()
    manifest.unlink()
    with serve() as live:
        wait_until(lambda: degraded(live) != [], 60)
        assert "1 aliases point at a version that cannot be used" in degraded(live)[0]
        (unserved,) = httpx.get(f"{live.url}/info", timeout=200).json()["registry"]["unserved"]
        assert (unserved["name"], unserved["alias"], unserved["version"]) == ("tone", "prod", 1)
        error_of(ask(live, "tone"), 424, "adapter_unusable")
        assert ask(live).status_code == 200
        manifest.write_bytes(content)
        wait_until(lambda: degraded(live) == [], 60)
        assert ask(live, "tone").status_code == 200


def test_a_full_disk_refuses_uploads_and_nothing_else(serve: Serve, tmp_path: Path) -> None:
    with serve() as live:
        publish(live, "mood")
        with full_disk():
            refused = train(live, ROWS * 500)
            error_of(refused, 503, "store_unavailable", "no room")
            assert int(refused.headers["Retry-After"]) >= 1
            assert ask(live).status_code == 200
        assert list((tmp_path / "incoming").iterdir()) == []
        assert train(live, ROWS * 500).status_code == 202


@contextmanager
def full_disk() -> Iterator[None]:
    """No file of this process can grow beyond a few bytes, as if there were no more room."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (ROOM_BYTES, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
