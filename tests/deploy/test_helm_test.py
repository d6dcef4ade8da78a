"""`helm test`: what its pod runs, run here against a real server that asks for keys."""

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from live_server import LiveServer, live_server
from manifests import Render

from skhost.access.store import KeyStore
from skhost.connection import connect
from skhost.settings import Settings
from skhost.valkey import EmbeddedValkey


@pytest.fixture(scope="module")
def shut(
    tiny_bert_folder: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[tuple[LiveServer, str]]:
    """A server as the chart runs it, without any key, and its registry."""
    with EmbeddedValkey(tmp_path_factory.mktemp("valkey")) as valkey:
        settings = Settings(
            data_dir=tmp_path_factory.mktemp("data"),
            redis_url=valkey.url,
            base=str(tiny_bert_folder),
            require_keys=True,
            drain_timeout_s=1,
        )
        with live_server(settings) as live:
            yield live, valkey.url


def run_pod(render: Render, live: LiveServer, redis_url: str, *arguments: str) -> str:
    """Run the pod's container with its own command; stdout."""
    container = render(*arguments).container("test")
    environment = {
        "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
        "PYTHONPATH": os.pathsep.join(p for p in sys.path if p),
        "SKHOST_URL": live.url,
        "SKHOST_REDIS_URL": redis_url,
    }
    assert {"SKHOST_URL", "SKHOST_REDIS_URL"} <= {entry["name"] for entry in container["env"]}
    done = subprocess.run(
        [*container["command"], *container["args"]],
        env=environment,
        capture_output=True,
        text=True,
        check=False,
        timeout=100,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_it_classifies_and_leaves_no_key_and_no_adapter(
    render: Render, shut: tuple[LiveServer, str]
) -> None:
    live, redis_url = shut
    assert httpx.get(f"{live.url}/adapters").status_code == 401
    assert '"label"' in run_pod(render, live, redis_url)

    async def keys() -> list[str]:
        async with connect(redis_url) as redis:
            return [record.to_dict()["state"] for record in await KeyStore(redis).list()]

    assert live.await_(keys()) == ["revoked"]
    assert not live.services.engine.registries.home.live


def test_it_asks_the_service_by_its_name(render: Render) -> None:
    manifests = render("--set", "service.port=8000")
    pod = manifests.get("Pod", "test")
    service = manifests.get("Service", "skhost")["metadata"]["name"]
    assert pod["metadata"]["annotations"]["helm.sh/hook"] == "test"
    assert manifests.env("test")["SKHOST_URL"] == f"http://{service}:8000"


def test_where_no_keys_are_asked_for_it_makes_none(render: Render) -> None:
    # The first key of all would shut the server.
    script = render("--set", "auth.enabled=false").container("test")["args"][0]
    assert "keys create" not in script
    assert "skhost classify" in script
