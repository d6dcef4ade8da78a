"""The ablation by its command: variants are trained as they say, and told beside the default."""

import json
from pathlib import Path

import pytest
from running_benchmark import run_benchmark

WORDS = {"positive": ("good", "great"), "negative": ("bad", "awful")}


def test_a_variant_stands_beside_the_default(tmp_path: Path, tiny_bert_folder: Path) -> None:
    folder = tmp_path / "data" / "trec"
    folder.mkdir(parents=True)
    for split, count in (("train", 30), ("test", 4)):
        rows = [
            {"text": f"the text {i} is {words[i % 2]}", "label": label}
            for i in range(count)
            for label, words in WORDS.items()
        ]
        (folder / f"{split}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    figures = tmp_path / "figures.json"
    places = ("--data", folder.parent, "--cache", tmp_path / "cache", "--json", figures)
    runs = ("--base", tiny_bert_folder, "--only", "trec", "--tuned", "--few", "--epochs", "1")
    variants = ["--variants", "", "low rank 8", "AdamW, rate 0.03", "no warm start"]
    done = run_benchmark("ablation", *places, *runs, "--confirm", "1", *variants)
    assert (done.returncode, done.stderr) == (0, "")
    default, *others = rows = json.loads(figures.read_text())
    assert (default["variant"], default["to default"]) == ("default", 0)
    assert [row["variant"] for row in others] == variants[2:]
    for row in others:
        distance = row["trec"] - default["trec"]
        assert row["to default"] == pytest.approx(distance, abs=0.11)  # of rounded scores
    outcomes = [json.loads(file.read_text()) for file in (tmp_path / "cache").iterdir()]
    confirmed = {each["run"]["variant"] for each in outcomes if each["run"]["seed"]}
    best = max(rows, key=lambda row: row["trec"])["variant"]
    assert confirmed == ({"", best} if best != "default" else set())
    sizes = {each["run"]["variant"]: each["trainable"] for each in outcomes}
    assert sizes["low rank 8"] != sizes[""] == sizes["AdamW, rate 0.03"]
