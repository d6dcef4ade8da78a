"""Adapters from label names alone: better than chance, ordinary to serve, honest about it."""

import csv
import json
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest

from sktuning import artifact
from sktuning.base import FrozenBase
from sktuning.classify import Classifier
from sktuning.config import BaseIdentity, TextOffset, Transform
from sktuning.data import TextInput
from sktuning.decode import Array, probabilities
from sktuning.errors import ConfigError
from sktuning.logits import logits_of
from sktuning.tokens import EncodedRow
from sktuning.zero_shot import MAX_LABELS, TEMPLATES, Descriptions, Untrained, ZeroShot

EXAMPLES = Path(__file__).resolve().parents[2] / "examples"
DESCRIBED = {"1": ["a text that is bad"], "2": ["a text that is good", "a great text"]}


@pytest.fixture(params=["tiny_bert", "tiny_gpt2"])
def tiny(request: pytest.FixtureRequest) -> Classifier:
    """A bidirectional and a causal base."""
    base: FrozenBase = request.getfixturevalue(request.param)
    return Classifier(base)


def answers(classifier: Classifier, made: Untrained, texts: Sequence[str]) -> list[Array]:
    rows = classifier.encoder.encode([TextInput(text) for text in texts], made.adapter.config)
    return logits_of(classifier, made.adapter, [r for r in rows if isinstance(r, EncodedRow)])


def accuracy(made: Untrained, logits: Sequence[Array], labels: Sequence[str]) -> float:
    found = [made.adapter.config.labels[int(row.argmax())] for row in logits]
    return float(np.mean([a == b for a, b in zip(found, labels, strict=True)]))


def majority(labels: Sequence[str]) -> float:
    return max(Counter(labels).values()) / len(labels)


def intents() -> tuple[list[str], list[str]]:
    with (EXAMPLES / "intents.csv").open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    return [row["text"] for row in rows], [row["intent"] for row in rows]


def feedback() -> tuple[list[str], list[str]]:
    lines = (EXAMPLES / "feedback.jsonl").read_text(encoding="utf-8").splitlines()
    rows = [json.loads(line) for line in lines]
    return [row["text"] for row in rows], [row["label"] for row in rows]


def test_names_alone_are_far_better_than_the_commonest_intent(minilm: FrozenBase) -> None:
    texts, labels = intents()
    classifier = Classifier(minilm)
    made = ZeroShot.make(classifier, sorted(set(labels)))
    logits = answers(classifier, made, texts)
    assert accuracy(made, logits, labels) > max(0.7, 4 * majority(labels))
    sure = np.mean([probabilities(made.adapter.config, row).max() for row in logits])
    assert 0.3 < sure < 0.9  # neither a shrug nor a certainty that nobody has checked


def test_names_alone_tell_good_feedback_from_bad(minilm: FrozenBase) -> None:
    rows = [pair for pair in zip(*feedback(), strict=True) if pair[1] != "neutral"]
    texts, labels = [text for text, _ in rows], [label for _, label in rows]
    classifier = Classifier(minilm)
    made = ZeroShot.make(classifier, ["negative", "positive"])
    assert accuracy(made, answers(classifier, made, texts), labels) > majority(labels) + 0.1


def test_descriptions_stand_in_for_names_that_say_nothing(minilm: FrozenBase) -> None:
    texts, labels = intents()
    names = sorted(set(labels))
    described = {str(i): [name] for i, name in enumerate(names)}
    classifier = Classifier(minilm)
    made = ZeroShot.make(classifier, list(described), described)
    numbers = [str(names.index(label)) for label in labels]
    assert accuracy(made, answers(classifier, made, texts), numbers) > 4 * majority(labels)


def test_it_is_an_ordinary_adapter_that_passes_its_own_test(
    tiny: Classifier, tmp_path: Path
) -> None:
    made = ZeroShot.make(tiny, ["good", "bad"], {"bad": ["an awful text"]})
    digest = made.save(tmp_path / "a")
    assert artifact.verify(tmp_path / "a") == digest
    read = artifact.load(tmp_path / "a")
    artifact.self_test(tmp_path / "a", read, tiny)
    config = read.config
    assert (config.transform, config.temperature) == (Transform.FROZEN, 1.0)
    assert (config.text_offset is TextOffset.AFTER_PROMPT) is tiny.base.is_causal
    assert config.base == tiny.base.identity != BaseIdentity("", "")
    texts = ["a good text", "the text was awful"]
    for one, other in zip(*(answers(tiny, a, texts) for a in (made, made)), strict=True):
        assert np.isfinite(one).all()
        assert np.array_equal(one, other)
    assert artifact.load_training(tmp_path / "a") == {}


def test_the_same_names_make_the_same_adapter_and_others_another(
    tiny: Classifier, tmp_path: Path
) -> None:
    digests = [
        ZeroShot.make(tiny, ["good", "bad"], described).save(tmp_path / str(i))
        for i, described in enumerate([None, {}, {"bad": ["awful"]}])
    ]
    assert digests[0] == digests[1] != digests[2]


def test_it_reads_a_forward_at_a_time(tiny_bert: FrozenBase) -> None:
    labels = [f"label number {'x' * i}" for i in range(1, 60)]
    work = ZeroShot(Classifier(tiny_bert), labels)
    steps = list(work.read())
    assert len(steps) > 2
    assert steps == sorted(set(steps))
    assert steps[-1] == len(labels) * len(TEMPLATES)
    assert work.finish().adapter.head.num_outputs == len(labels)


def test_the_card_says_that_nothing_was_measured(tiny_bert: FrozenBase, tmp_path: Path) -> None:
    made = ZeroShot.make(Classifier(tiny_bert), ["good_one", "bad"], {"bad": ["awful", "<b>"]})
    made.save(tmp_path / "a")
    card = (tmp_path / "a" / "README.md").read_text()
    assert "without any data" in card
    assert "there are no metrics" in card
    assert "| bad | awful; &lt;b&gt; |" in card
    assert "| good\\_one |  |" in card
    assert "## Results" not in card


@pytest.mark.parametrize(
    ("labels", "descriptions", "message"),
    [
        (["good"], {}, "at least two labels"),
        (["good", "good"], {}, "must differ"),
        (["good", " "], {}, "1 to 1000 characters"),
        (["good", "x" * 1001], {}, "1 to 1000 characters"),
        (["good", "bad"], {"bad": [""]}, "1 to 1000 characters"),
        (["good", "bad"], {"bda": ["awful"]}, "'bda' is described and is not among the labels"),
        (["good", "bad"], {"bad": ["awful"] * 5}, "5 descriptions; at most 4"),
        (["good", "2"], {}, "label '2' has no letters"),
        (["1", "2"], {"1": ["good"]}, "label '2' has no letters"),
        (["very_good", "veryGood"], {}, "'very_good' and 'veryGood' alike"),
        (["1", "2"], {"1": ["good"], "2": ["good"]}, "'1' and '2' alike"),
        (["good", "\ud800bad"], {}, "Unicode text"),
        ([f"label {'x' * i}" for i in range(MAX_LABELS + 1)], {}, "at most 500"),
    ],
)
def test_labels_that_no_adapter_can_be_made_of_are_refused(
    tiny_bert: FrozenBase, labels: list[str], descriptions: Descriptions, message: str
) -> None:
    with pytest.raises(ConfigError, match=message):
        ZeroShot(Classifier(tiny_bert), labels, descriptions)


def test_numbers_with_descriptions_are_labels(tiny_bert: FrozenBase) -> None:
    made = ZeroShot.make(Classifier(tiny_bert), list(DESCRIBED), DESCRIBED)
    assert made.adapter.config.labels == ("1", "2")
    assert {row.input.text for row in made.golden.rows} <= {
        text for texts in DESCRIBED.values() for text in texts
    }
