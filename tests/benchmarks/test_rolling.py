"""The rolling upgrade, by its command, on a tiny base."""

from pathlib import Path

import pytest
from running_benchmark import rows_of


@pytest.mark.timeout(600)
def test_servers_are_replaced_and_taken_away_and_no_request_is_lost(
    tiny_bert_folder: Path, tmp_path: Path
) -> None:
    quick = ("--replacements", "1", "--pre-stop", "0.5", "--known-after", "0.2", "--leave", "2")
    *steps, total = rows_of(
        "rolling", tmp_path / "figures.json", "--base", tiny_bert_folder, *quick
    )
    assert [row["what"] for row in steps] == ["replaced", "taken away"]
    assert all(row["answered"] for row in steps)
    assert total["sent"] == sum(row["answered"] + row["refused"] for row in steps)
    wrongs = ("lost", "not_accepted", "rejected", "wrong", "failed")
    assert [total[name] for name in wrongs] == [0] * len(wrongs)
