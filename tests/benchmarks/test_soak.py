"""The soak, by its command, for seconds instead of minutes."""

from pathlib import Path

import pytest
from running_benchmark import rows_of


@pytest.mark.timeout(600)
def test_memory_and_latency_are_followed_while_adapters_come_and_go(
    tiny_bert_folder: Path, tmp_path: Path
) -> None:
    small = ("--base", tiny_bert_folder, "--adapters", "8", "--share", "0.3")
    short = ("--minutes", "0.2", "--window", "2", "--train-every", "1")
    *windows, total = rows_of("soak", tmp_path / "figures.json", *small, *short)
    assert [row["window"] for row in windows] == [1, 2, 3, 4, 5, 6]
    assert all(row["requests"] and row["p50_ms"] <= row["p99_ms"] for row in windows)
    assert all(row["serve_mb"] > row["valkey_mb"] > 0 and row["worker_mb"] > 0 for row in windows)
    assert total["requests"] == sum(row["requests"] for row in windows)
    assert total["guests"] > 0
    assert (total["failed"], total["changes_failed"]) == (0, 0)
    assert total["serve_mb_drift"] > 0
