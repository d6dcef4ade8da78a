"""Rare labels: when they count as rare, what then judges, and what their rows weigh."""

from dataclasses import replace

import pytest
import torch
from making import make_config

from sktuning.base import FrozenBase
from sktuning.classify import Classifier
from sktuning.config import AdapterSpec, ClassWeight, Task, TrainingConfig
from sktuning.data import Dataset, Example, Target, TextInput
from sktuning.errors import ConfigError
from sktuning.training.imbalance import class_weights, is_imbalanced, main_metric
from sktuning.training.objective import Objective
from sktuning.training.trainer import Trainer


def dataset(*targets: Target, task: Task = Task.SINGLE_LABEL) -> Dataset:
    rows = tuple(Example(TextInput(f"the text {i}"), target) for i, target in enumerate(targets))
    names = {n for t in targets for n in (t if isinstance(t, tuple) else (str(t),))}
    labels = () if task is Task.REGRESSION else tuple(sorted(names))
    return Dataset(task, labels, rows, rows)


RARE = dataset(*["ham"] * 19, "spam")
EVEN = dataset(*["ham"] * 3, "spam")
MANY = dataset(*[("a",)] * 9, ("a", "b"), task=Task.MULTI_LABEL)


def test_one_label_on_more_than_three_quarters_of_the_rows_is_an_imbalance() -> None:
    assert is_imbalanced(RARE)
    assert not is_imbalanced(EVEN)
    assert is_imbalanced(dataset(*["ham"] * 3001, *["spam"] * 1000))
    assert not is_imbalanced(dataset(*["a"] * 7, "b", "c", "d"))


def test_macro_f1_judges_where_labels_are_rare() -> None:
    assert main_metric(RARE) == "macro_f1"
    assert main_metric(EVEN) == "accuracy"
    assert main_metric(MANY) == "micro_f1"
    assert main_metric(dataset(*[1.0] * 9, 2.0, task=Task.REGRESSION)) == "pearson"


def test_balanced_weights_are_the_inverse_of_the_frequency() -> None:
    assert class_weights(RARE, ClassWeight.BALANCED) == pytest.approx({"ham": 20 / 38, "spam": 10})
    assert class_weights(MANY, ClassWeight.BALANCED) == pytest.approx({"a": 0.1, "b": 9.0})


def test_weights_of_single_labels_average_to_one_over_the_rows() -> None:
    for choice in (ClassWeight.AUTO, ClassWeight.BALANCED):
        for ratio in (19, 400):
            weights = class_weights(dataset(*["ham"] * ratio, "spam"), choice)
            assert ratio * weights["ham"] + weights["spam"] == pytest.approx(ratio + 1)


def test_a_label_of_held_out_rows_only_weighs_one() -> None:
    unseen = replace(RARE, labels=("ham", "new", "spam"))
    assert class_weights(unseen, ClassWeight.BALANCED)["new"] == 1.0


def test_nothing_is_weighted_that_was_not_asked_for() -> None:
    assert class_weights(RARE, ClassWeight.NONE) == {}
    assert class_weights(EVEN, ClassWeight.AUTO) == {}
    assert class_weights(MANY, ClassWeight.AUTO) == {}
    tags = dataset(("O", "O"), ("O", "B-x"), task=Task.TOKENS)
    assert class_weights(tags, ClassWeight.BALANCED) == {}


def test_a_choice_may_be_spelled() -> None:
    training = TrainingConfig(class_weight="none")  # type: ignore[arg-type]
    assert class_weights(RARE, training.class_weight) == {}


def test_a_choice_that_is_none_is_refused() -> None:
    with pytest.raises(ConfigError, match="class_weight must be auto, none or balanced"):
        TrainingConfig(class_weight="heavy")  # type: ignore[arg-type]


def test_a_rows_loss_is_multiplied_by_its_labels_weight() -> None:
    config = make_config(labels=("ham", "spam"))
    logits, targets = torch.tensor([[2.0, 0.0], [0.5, 1.0]]), torch.tensor([0, 1])
    each = torch.nn.functional.cross_entropy(logits, targets, reduction="none")
    loss = Objective(config, RARE.train, {"ham": 0.5, "spam": 4.0}).loss(logits, targets)
    assert torch.allclose(loss, (0.5 * each[0] + 4 * each[1]) / 2)


def test_positives_of_a_rare_label_weigh_more() -> None:
    config = make_config(Task.MULTI_LABEL, labels=("a", "b"))
    logits, targets = torch.zeros(1, 2), torch.tensor([[0.0, 1.0]])
    plain = Objective(config, MANY.train).loss(logits, targets)
    weighted = Objective(config, MANY.train, {"a": 1.0, "b": 9.0}).loss(logits, targets)
    assert torch.allclose(weighted, plain * (1 + 9) / 2)


def test_weights_reach_the_fitted_head_and_the_result(tiny_bert: FrozenBase) -> None:
    texts = [f"the text {i} is {'great' if i % 8 == 0 else 'not'}" for i in range(64)]
    rows = tuple(
        Example(TextInput(text), "rare" if text.endswith("great") else "usual") for text in texts
    )
    both = Example(TextInput("the text is great"), "usual")
    data = Dataset(Task.SINGLE_LABEL, ("rare", "usual"), (*rows, *[both] * 8), rows)

    def margin(choice: ClassWeight) -> float:
        """How far the fitted head alone leans towards the rare label where both are right."""
        training = TrainingConfig(
            epochs=1, learning_rate=1e-9, head_learning_rate=1e-9, class_weight=choice
        )
        trainer = Trainer(tiny_bert, data, AdapterSpec(rank=2, training=training))
        list(trainer.run())
        trained = trainer.finish()
        assert trained.main_metric == "macro_f1"
        assert trained.main_score == trained.metrics["macro_f1"]
        assert bool(trained.class_weights) is (choice is not ClassWeight.NONE)
        classifier = Classifier(tiny_bert)
        row = classifier.encoder.encode([both.input], trained.adapter.config)[0]
        logits = classifier.logits([(row, trained.adapter)])[0]  # type: ignore[list-item]
        return float(logits[0] - logits[1])

    assert margin(ClassWeight.BALANCED) > margin(ClassWeight.NONE) + 0.5
