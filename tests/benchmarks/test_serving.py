"""The serving benchmark, by its command, on data small enough for a test."""

import json
from pathlib import Path
from typing import Any

import pytest
from running_benchmark import rows_of, run_benchmark


def test_every_rung_is_measured_and_the_page_written(
    tiny_bert_folder: Path, tmp_path: Path
) -> None:
    (tmp_path / "moods").mkdir()
    lines = [json.dumps({"text": "the text is good " * (1 + i % 5)}) for i in range(60)]
    (tmp_path / "moods" / "train.jsonl").write_text("\n".join(lines))
    page = tmp_path / "page.md"
    places = ("--data", tmp_path, "--only", "moods", "--base", tiny_bert_folder, "--markdown", page)
    small = ("--tokens", "64", "--repeats", "3", "--dtypes", "float32", "--counts", "1", "2", "64")
    rows = rows_of("serving", tmp_path / "figures.json", *places, *small)
    rungs = {row["rung"] for row in rows}
    assert rungs == {"ceiling", "torch's linear", "base", "engine", "profile"}
    engine = [(r["pattern"], r["adapters"]) for r in rows if r["rung"] == "engine"]
    assert engine == [
        ("one", 1),
        *[("uniform", 2), ("uniform", 64), ("zipf", 2), ("zipf", 64), ("distinct", 64)],
    ]
    for row in rows:
        if row["rung"] == "engine":
            assert 0 < row["tokens"] <= 64
            assert 0 <= row["padding"] < 1
            assert row["rows_per_s"] > 0
            assert 1 <= row["adapters_a_batch"] <= row["adapters"]
    (distinct,) = (row for row in rows if row.get("pattern") == "distinct")
    assert distinct["adapters_a_batch"] == distinct["rows"]
    assert abs(sum(row["share"] for row in rows if row["rung"] == "profile") - 1) < 1e-6
    assert "| engine | float32 | 64 | zipf |" in page.read_text()
    assert sorted(path.suffix for path in (tmp_path / "pictures").iterdir()) == [".svg", ".svg"]


def test_a_dataset_that_is_too_small_is_named(tiny_bert_folder: Path, tmp_path: Path) -> None:
    (tmp_path / "few").mkdir()
    (tmp_path / "few" / "train.jsonl").write_text(json.dumps({"text": "one"}))
    options = ("--only", "few", "--base", tiny_bert_folder, "--counts", "1")
    done = run_benchmark("serving", "--data", tmp_path, *options)
    assert done.returncode
    assert "few has not 5 batches of 1024 tokens" in done.stderr


def _texts(folder: Path, name: str) -> None:
    (folder / name).mkdir()
    lines = [
        json.dumps({"text": "the text is good " * (1 + i % 5), "label": ("a", "b")[i % 2]})
        for i in range(200)
    ]
    (folder / name / "train.jsonl").write_text("\n".join(lines))


def _measured(data: Path, base: Path, *options: str) -> list[dict[str, Any]]:
    """The rows of a small run of these rungs, on a server with eight adapters."""
    page = data / "page.md"
    places = ("--data", data, "--only", "moods", "--base", base, "--markdown", page)
    small = ("--tokens", "64", "--dtypes", "float32", "--served", "8", "--repeats", "2")
    short = ("--seconds", "0.3", "--overload-s", "0.5")
    rows = rows_of("serving", data / "figures.json", *places, *small, *short, *options)
    assert "adapters, float32 |" in page.read_text()
    return rows


@pytest.mark.timeout(600)
def test_a_server_is_measured_beside_its_engine(tiny_bert_folder: Path, tmp_path: Path) -> None:
    _texts(tmp_path, "moods")
    rows = _measured(tmp_path, tiny_bert_folder, "--rungs", "http", "--offered", "0.5")
    engine, alone, single, batch, half, overload, flood = rows
    assert (engine["load"], alone["load"]) == ("in process", "one row alone")
    assert (single["texts"], batch["texts"]) == (1, 32)
    for row in (single, batch):
        assert row["failed"] == row["refused"] == 0
        assert row["p50_ms"] <= row["p95_ms"] <= row["p99_ms"]
        assert 0 < row["client_share"] < 1
        assert row["to_engine"] > 0
    assert half["offered"] == 0.5
    assert half["failed"] == 0
    assert half["p99_to_alone"] > 0
    assert overload["failed"] == 0
    assert 0 <= overload["refused"] < 1
    assert overload["memory_growth"] >= 1
    assert flood["others_refused"] == 0
    assert flood["to_without"] > 0


@pytest.mark.timeout(600)
def test_peers_serve_the_same_texts(tiny_bert_folder: Path, tmp_path: Path) -> None:
    _texts(tmp_path, "moods")
    rows = _measured(tmp_path, tiny_bert_folder, "--rungs", "peers", "--processes", "2")
    peers = [row for row in rows if row["rung"] == "peer"]
    assert [row["peer"] for row in peers] == [
        *("PEFT, switching", "PEFT, grouped by adapter", "PEFT, mixed LoRA batch"),
        *("transformers pipeline, text by text", "transformers pipeline, batches of 32"),
        "one process an adapter",
    ]
    assert all(row["rows_per_s"] > 0 and row["ours_to_it"] > 0 for row in peers)


@pytest.mark.timeout(600)
def test_an_adapters_life_is_measured(tiny_bert_folder: Path, tmp_path: Path) -> None:
    _texts(tmp_path, "moods")
    rows = _measured(tmp_path, tiny_bert_folder, "--rungs", "life")
    cold, publish, crowded, training = rows
    assert cold["requests"] == 8
    assert cold["cold_p99_ms"] > 0
    assert publish["repeats"] == 6
    assert publish["here_ms"] > 0
    assert publish["replica_ms"] > 0
    assert crowded["failed"] == 0
    assert crowded["to_all_resident"] > 0
    assert training["failed"] == 0
    assert training["to_without"] > 0
