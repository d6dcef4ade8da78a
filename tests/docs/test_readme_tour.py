"""The tour of the README, run against a service of its own, with shorter trainings."""

import json
import os
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from skhost.client import Client
from skhost.settings import PREFIX

ROOT = Path(__file__).resolve().parents[2]
URL = "http://127.0.0.1:8080"
READY_WITHIN_S = 90.0

pytestmark = [
    pytest.mark.timeout(600),
    pytest.mark.skipif(shutil.which("curl") is None, reason="the tour of the README uses curl"),
]


@pytest.fixture(scope="module")
def workplace(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder where the README's relative paths lead to the sample data."""
    folder = tmp_path_factory.mktemp("tour")
    (folder / "examples").symlink_to(ROOT / "examples")
    return folder


@pytest.fixture(scope="module")
def url(workplace: Path) -> Iterator[str]:
    """`skhost up` as the README says, but on a free port."""
    service = subprocess.Popen(
        ["skhost", "up", "--json", "--port", "0"],
        stdout=subprocess.PIPE,
        text=True,
        cwd=workplace,
        env={**_environment(), "SKHOST_LOG_LEVEL": "warning"},
    )
    try:
        assert service.stdout is not None
        with service.stdout as lines:
            found = json.loads(lines.readline())["url"]
            with Client(found) as client:
                _wait_until_ready(client)
            yield found
    finally:
        service.terminate()
        assert service.wait(60) == 0


def test_the_tour_of_the_readme_does_what_it_says(url: str, workplace: Path) -> None:
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    stops = re.findall(r"<!-- tour -->\n```sh\n(.*?)```", readme, re.DOTALL)
    outputs = [_run(stop, url, workplace) for stop in stops]
    train, batch, pairs, fan_out, risk, day_zero, versions, transfer, operate = outputs

    assert "event: " in train
    assert '"state":"succeeded"' in train.replace(" ", "")
    assert batch.count('"label"') == 3
    assert batch.count('"error"') == 1  # the empty text of the batch, and nothing else
    assert '"task":"single-label"' in pairs.replace(" ", "")
    assert [a["adapter"] for a in json.loads(fan_out)["adapters"]] == ["sentiment", "intent"]
    assert '"label"' in risk
    assert '"origin":"labels"' in day_zero.replace(" ", "")
    assert "sports" in day_zero[day_zero.rindex("}") :]  # the answer, behind the version
    assert _prod_versions(versions) == [2, 1, 1]
    assert '"name":"copied"' in transfer.replace(" ", "")
    assert "skhost_requests_total" in operate


def _run(stop: str, url: str, workplace: Path) -> str:
    """A block of the README in a shell that ends at the first failure; what went to stdout."""
    script = stop.replace(URL, url).replace("curl -s", "curl --fail-with-body -s")
    script = re.sub(r"(-F name=\S+)", r"\1 -F epochs=1", script)  # enough to see that it works
    script = re.sub(r"(skhost train .*)", r"\1 --epochs 1", script)
    result = subprocess.run(
        ["bash", "-euo", "pipefail", "-c", script],
        cwd=workplace,
        env={**_environment(), "SKHOST_URL": url},
        capture_output=True,
        text=True,
        check=False,
    )
    assert result.returncode == 0, f"{stop}\n{result.stdout}\n{result.stderr}"
    return result.stdout


def _wait_until_ready(client: Client) -> None:
    deadline = time.monotonic() + READY_WITHIN_S
    while not client.is_ready():
        assert time.monotonic() < deadline, "the service did not become ready"
        time.sleep(0.1)


def _environment() -> dict[str, str]:
    """No settings of whoever runs the tests, and `skhost` as installed beside this Python."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(PREFIX)}
    return {**kept, "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"}


def _prod_versions(output: str) -> list[int]:
    """Where `prod` pointed, answer by answer."""
    return [int(v) for v in re.findall(r'"aliases": ?\{[^}]*"prod": ?(\d+)', output)]
