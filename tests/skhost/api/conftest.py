"""One server for the whole folder, with an adapter of each kind."""

from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from live_server import LiveServer, live_server, publish

from skhost.settings import Settings
from sktuning.config import RiskLevel, Task

MAX_BODY_BYTES = 64 * 1024
MAX_UPLOAD_BYTES = 256 * 1024
MAX_ITEMS = 8
MAX_CHARS = 5_000


@pytest.fixture(scope="session")
def live(tiny_bert_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[LiveServer]:
    """A server with small limits, its registry embedded."""
    settings = Settings(
        data_dir=tmp_path_factory.mktemp("api"),
        base=str(tiny_bert_folder),
        max_body_bytes=MAX_BODY_BYTES,
        max_upload_bytes=MAX_UPLOAD_BYTES,
        max_artifact_bytes=MAX_UPLOAD_BYTES,
        max_items_per_request=MAX_ITEMS,
        max_adapters_per_request=3,
        max_text_chars=MAX_CHARS,
        drain_timeout_s=1,
    )
    with live_server(settings) as live:
        publish(live, "mood", seed=1)
        publish(live, "mood", seed=2)
        publish(live, "tone", seed=3)
        publish(live, "feelings", Task.MULTI_LABEL)
        publish(live, "rating", Task.REGRESSION)
        publish(live, "things", Task.TOKENS, seed=5)
        publish(live, "same", is_pair=True)
        publish(live, "careful", risk_levels=(RiskLevel(0.1, 0.99999, 0.1),))
        yield live


@pytest.fixture
def http(live: LiveServer) -> Iterator[httpx.Client]:
    """A plain client of that server."""
    with httpx.Client(base_url=live.url, timeout=30) as client:
        yield client
