"""The benchmark of a busy neighbour, by its command, on a base small enough for a test."""

from pathlib import Path

from running_benchmark import rows_of


def test_every_way_is_measured_without_and_beside_a_neighbour(
    tiny_bert_folder: Path, tmp_path: Path
) -> None:
    options = ("--base", tiny_bert_folder, "--threads", "2", "--tokens", "40")
    few = ("--seconds", "0.2", "--repeats", "1", "--dtype", "float32")
    rows = rows_of("neighbour", tmp_path / "figures.json", *options, *few)
    assert [row["threads"] for row in rows] == ["all", "adaptive", "one"]
    assert all(row["rows_per_s"] > 0 and row["beside_a_neighbour"] > 0 for row in rows)
    assert (rows[0]["to_all"], rows[0]["to_all_beside_one"]) == (1, 1)
