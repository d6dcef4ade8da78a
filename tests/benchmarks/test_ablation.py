"""The ablation by its command: variants are trained as they say, and told beside the default."""

import json
from dataclasses import replace
from pathlib import Path

import pytest
from contest import product
from contest.children import Children
from contest.run import Run
from contest.subject import read_subject
from running_benchmark import run_benchmark

from sktuning.base import FrozenBase
from sktuning.classify import Classifier
from sktuning.config import AdapterSpec, TrainingConfig, Transform
from sktuning.evaluate import evaluate
from sktuning.training.fit import fit

WORDS = {"positive": ("good", "great"), "negative": ("bad", "awful")}


def make_data(folder: Path) -> Path:
    folder.mkdir(parents=True)
    for split, count in (("train", 30), ("test", 4)):
        rows = [
            {"text": f"the text {i} is {words[i % 2]}", "label": label}
            for i in range(count)
            for label, words in WORDS.items()
        ]
        (folder / f"{split}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    return folder.parent


def test_a_run_trains_as_the_product_does(tmp_path: Path, tiny_bert_folder: Path) -> None:
    data = make_data(tmp_path / "data" / "trec")
    run = Run(
        str(tiny_bert_folder),
        "trec",
        "sk-prefix",
        0.02,
        rows=None,
        epochs=0,
        seed=3,
        dtype="float32",
        variant="low rank 8",
        as_product=True,
    )
    found = Children(data, "cpu", 1)(run)
    dataset = read_subject(data, run)
    training = TrainingConfig(learning_rate=0.02, seed=3)
    spec = AdapterSpec(transform=Transform.LOW_RANK, training=training)
    base = FrozenBase.load(tiny_bert_folder, device="cpu", dtype="float32")
    trained = fit(base, dataset, spec)
    assert found.run == run
    assert (found.steps, found.curve[0].step) == (trained.num_steps, trained.kept_step)
    assert found.held_out_score == pytest.approx(trained.main_score)
    assert found.score == evaluate(Classifier(base), trained.adapter, dataset.test)["accuracy"]
    assert (found.train_rows, found.test_rows) == (len(dataset.train), 8)


def test_a_variant_that_is_no_setting_is_not_trained_as_the_product_does(tmp_path: Path) -> None:
    run = Run("minilm", "trec", "sk-prefix", 0.02, rows=None, epochs=0, as_product=True)
    with pytest.raises(ValueError, match="no setting for: no warm start"):
        product.perform(replace(run, variant="no warm start"), tmp_path)


def test_a_variant_stands_beside_the_default(tmp_path: Path, tiny_bert_folder: Path) -> None:
    data = make_data(tmp_path / "data" / "trec")
    figures = tmp_path / "figures.json"
    places = ("--data", data, "--cache", tmp_path / "cache", "--json", figures)
    runs = ("--base", tiny_bert_folder, "--only", "trec", "--tuned", "--few", "--epochs", "1")
    variants = ["--variants", "", "low rank 8", "AdamW, rate 0.03", "no warm start"]
    done = run_benchmark("ablation", *places, *runs, "--confirm", "1", *variants)
    assert (done.returncode, done.stderr) == (0, "")
    told = json.loads(figures.read_text())
    default, *others = rows = [row for row in told if row["table"] == "held-out"]
    (tuned,) = [row for row in told if row["table"] == "tuned"]
    assert (default["variant"], default["to default"]) == ("default", 0)
    assert [row["variant"] for row in others] == variants[2:]
    for row in others:
        distance = row["trec"] - default["trec"]
        assert row["to default"] == pytest.approx(distance, abs=0.11)  # of rounded scores
    outcomes = [json.loads(file.read_text()) for file in (tmp_path / "cache").iterdir()]
    outcomes = [each for each in outcomes if not each["run"]["as_product"]]
    confirmed = {each["run"]["variant"] for each in outcomes if each["run"]["seed"]}
    has_lost = tuned["default less it"] < -1
    assert any(row["table"] == "as product" for row in told) == has_lost
    best = max(rows, key=lambda row: row["trec"])["variant"]
    assert confirmed == ({"", best} if best != "default" else set())
    sizes = {each["run"]["variant"]: each["trainable"] for each in outcomes}
    assert sizes["low rank 8"] != sizes[""] == sizes["AdamW, rate 0.03"]
