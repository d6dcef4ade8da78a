"""Fifty promotions under load, by the benchmark that anyone can run."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
from live_server import live_server, publish

from skhost.settings import Settings

ROOT = Path(__file__).resolve().parents[2]


@pytest.mark.timeout(180)
def test_fifty_promotions_under_load_fail_no_request(
    tiny_bert_folder: Path, tmp_path: Path
) -> None:
    figures = tmp_path / "figures.json"
    with live_server(Settings(data_dir=tmp_path / "data", base=str(tiny_bert_folder))) as live:
        publish(live, "mood", seed=1)
        publish(live, "mood", seed=2)
        done = subprocess.run(
            [
                *(sys.executable, str(ROOT / "benchmarks" / "hot_swap.py")),
                *("--url", live.url, "--adapter", "mood", "--json", str(figures)),
            ],
            capture_output=True,
            text=True,
            check=False,
        )
    assert done.returncode == 0, done.stderr
    (row,) = json.loads(figures.read_text())
    assert (row["promotions"], row["clients"]) == (50, 8)
    assert row["failed_requests"] == row["unknown_digests"] == row["wrong_answers"] == 0
    assert row["stale_after_promotion"] == 0
    assert row["requests"] >= 50 * 8
    assert min(row["answers_of_version_1"], row["answers_of_version_2"]) > 50
