"""A training in one call, and what it makes on the disk and back."""

from pathlib import Path

import numpy as np

import sktuning
from sktuning.base import FrozenBase
from sktuning.config import AdapterSpec, TrainingConfig
from sktuning.training.progress import Progress

ROWS = [(f"a {word} text {i}", word) for i in range(8) for word in ("good", "bad")]
SPEC = AdapterSpec(training=TrainingConfig(epochs=2, batch_size=8))


def test_one_call_trains_what_the_trainer_would(tiny_bert: FrozenBase) -> None:
    dataset = sktuning.Dataset.of(ROWS)
    seen: list[Progress] = []
    trained = sktuning.fit(tiny_bert, dataset, SPEC, on_progress=seen.append)
    trainer = sktuning.Trainer(tiny_bert, dataset, SPEC)
    assert [one.phase for one in trainer.run()] == [one.phase for one in seen]
    assert np.array_equal(trainer.finish().adapter.head.weight, trained.adapter.head.weight)
    assert seen[-1].step == seen[-1].num_steps == 4
    assert trained.training.epochs == 2


def test_nothing_need_be_chosen(tiny_bert: FrozenBase) -> None:
    trained = sktuning.fit(tiny_bert, sktuning.Dataset.of(ROWS[:4]))
    assert trained.adapter.config.labels == ("bad", "good")


def test_what_was_made_is_saved_and_loaded_by_a_path_that_is_text(
    tiny_bert: FrozenBase, tmp_path: Path
) -> None:
    trained = sktuning.fit(tiny_bert, sktuning.Dataset.of(ROWS), SPEC)
    assert sktuning.save(str(tmp_path / "a"), trained).startswith("sha256:")
    loaded = sktuning.load(str(tmp_path / "a"))
    classifier = sktuning.Classifier(tiny_bert)
    texts = ["a good text", "bad"]
    before = sktuning.predict(classifier, trained.adapter, texts)
    assert sktuning.predict(classifier, loaded, texts) == before
