"""Fifty promotions under load, by the benchmark that anyone can run."""

from pathlib import Path

import pytest
from live_server import live_server, publish
from running_benchmark import rows_of

from skhost.settings import Settings


@pytest.mark.timeout(180)
def test_fifty_promotions_under_load_fail_no_request(
    tiny_bert_folder: Path, tmp_path: Path
) -> None:
    with live_server(Settings(data_dir=tmp_path / "data", base=str(tiny_bert_folder))) as live:
        publish(live, "mood", seed=1)
        publish(live, "mood", seed=2)
        options = ("--url", live.url, "--adapter", "mood")
        (row,) = rows_of("hot_swap", tmp_path / "figures.json", *options)
    assert (row["promotions"], row["clients"]) == (50, 8)
    assert row["failed_requests"] == row["unknown_digests"] == row["wrong_answers"] == 0
    assert row["stale_after_promotion"] == 0
    assert row["requests"] >= 50 * 8
    assert min(row["answers_of_version_1"], row["answers_of_version_2"]) > 50
