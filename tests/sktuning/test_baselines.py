"""Baselines on rows whose best answer is known."""

from typing import Any

import pytest
from making import make_config

from sktuning.base import FrozenBase
from sktuning.baselines import features, logistic, majority
from sktuning.classify import Classifier
from sktuning.config import Task
from sktuning.data import Example, Target, TextInput
from sktuning.tokens import EncodedRow

SUBJECTS = ("the text", "a text", "text", "the a text", "not a text", "very text")


def config_of(base: FrozenBase, task: Task, labels: tuple[str, ...] = ()) -> Any:
    return make_config(task, labels=labels, base=base.identity)


def rows(good: Target, bad: Target) -> list[Example]:
    """Texts whose answer is told by one word."""
    return [
        Example(TextInput(f"{subject} {verb} {word}"), target)
        for subject in SUBJECTS
        for verb in ("is", "was")
        for word, target in (("good", good), ("awful", bad))
    ]


@pytest.mark.parametrize(
    ("task", "good", "bad", "metric", "labels"),
    [
        (Task.SINGLE_LABEL, "yes", "no", "accuracy", ("no", "yes")),
        (Task.SINGLE_LABEL, "yes", "no", "accuracy", ("never", "no", "yes")),
        (Task.MULTI_LABEL, ("x",), ("x", "y"), "exact_match", ("x", "y")),
        (Task.REGRESSION, 5.0, 1.0, "pearson", ()),
    ],
)
def test_a_logistic_head_learns_what_one_word_tells(
    tiny_bert: FrozenBase, task: Task, good: Target, bad: Target, metric: str, labels: Any
) -> None:
    examples = rows(good, bad)
    config = config_of(tiny_bert, task, labels)
    metrics = logistic(Classifier(tiny_bert), config, examples[:18], examples[18:])
    assert metrics[metric] > 0.9
    assert metrics[metric] > majority(config, examples[:18], examples[18:])[metric]


def test_a_logistic_head_on_words_tags_them(tiny_bert: FrozenBase) -> None:
    config = config_of(tiny_bert, Task.TOKENS, ("B-word", "O"))
    examples = [
        Example(
            TextInput(tokens=tuple(e.input.text.split())),
            tuple("B-word" if w in ("good", "awful") else "O" for w in e.input.text.split()),
        )
        for e in rows("g", "a")
    ]
    metrics = logistic(Classifier(tiny_bert), config, examples[:18], examples[18:])
    assert metrics["entity_f1"] > 0.9
    nothing = majority(config, examples[:18], examples[18:])
    assert nothing["entity_f1"] == 0.0
    assert nothing["token_accuracy"] > 0.5


def test_words_that_are_cut_off_are_neither_learned_nor_found(tiny_bert: FrozenBase) -> None:
    config = config_of(tiny_bert, Task.TOKENS, ("B-word", "O"))
    example = Example(TextInput(tokens=("good", "text", "good")), ("B-word", "O", "B-word"))
    metrics = logistic(Classifier(tiny_bert), config, [example], [example], max_length=4)
    assert metrics["entity_recall"] == 0.5


def test_the_majority_is_the_commonest_answer(tiny_bert: FrozenBase) -> None:
    def of(*labels: str) -> list[Example]:
        return [Example(TextInput("text"), label) for label in labels]

    config = config_of(tiny_bert, Task.SINGLE_LABEL, ("a", "b"))
    assert majority(config, of("b", "b", "a"), of("b", "a", "a", "a"))["accuracy"] == 0.25
    value = config_of(tiny_bert, Task.REGRESSION)
    numbers = [Example(TextInput("text"), n) for n in (1.0, 3.0)]
    assert majority(value, numbers, numbers)["mse"] == pytest.approx(1.0)
    assert majority(value, numbers, numbers)["pearson"] == 0.0


def test_features_do_not_depend_on_the_batch(tiny_bert: FrozenBase) -> None:
    classifier = Classifier(tiny_bert)
    config = config_of(tiny_bert, Task.SINGLE_LABEL, ("no", "yes"))
    examples = [*rows("yes", "no"), Example(TextInput(" "), "no")]
    found, kept = features(classifier, config, examples)
    assert len(found) == len(kept) == len(examples) - 1
    for state, example in zip(found, kept, strict=True):
        row = classifier.encoder.encode([example.input], config)[0]
        assert isinstance(row, EncodedRow)
        assert state == pytest.approx(classifier.features([row], config)[0], abs=1e-5)
