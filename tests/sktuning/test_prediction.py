"""Plain values in, plain values out, with any number of adapters."""

import pytest
from making import make_adapter

from sktuning.base import FrozenBase
from sktuning.classify import Classifier
from sktuning.config import Method, Task
from sktuning.decode import DecodeOptions
from sktuning.errors import BaseMismatch, ConfigError, InputError
from sktuning.prediction import predict

TEXTS = ["a good text", "bad", "the text is very good and not awful"]


@pytest.fixture(scope="module")
def classifier(tiny_bert: FrozenBase) -> Classifier:
    """On a tiny base."""
    return Classifier(tiny_bert)


def test_every_kind_of_input_gets_the_answer_of_its_task(classifier: Classifier) -> None:
    base = classifier.base
    single = make_adapter(base)
    pairs = make_adapter(base, is_pair=True)
    words = make_adapter(base, Task.TOKENS)
    number = make_adapter(base, Task.REGRESSION, method=Method.SK_PROMPT)
    answers = predict(
        classifier,
        [single, pairs, words, words, number],
        ["good", ("good", "bad"), ["good", "text"], "good text", "good"],
    )
    assert [next(iter(answer)) for answer in answers] == [
        "label", "label", "entities", "entities", "value",
    ]  # fmt: skip
    assert [len(answer.get("tags", "")) for answer in answers] == [0, 0, 2, 0, 0]


def test_answers_do_not_depend_on_the_batch(classifier: Classifier) -> None:
    adapters = [make_adapter(classifier.base, seed=seed) for seed in range(3)]
    options = DecodeOptions(top_k=1)
    together = predict(classifier, adapters, TEXTS, options)
    small = predict(classifier, adapters, TEXTS, options, batch_tokens=1)
    for number, text in enumerate(TEXTS):
        (alone,) = predict(classifier, adapters[number], [text], options)
        for other in (together[number], small[number]):
            assert other["label"] == alone["label"]
            assert other["score"] == pytest.approx(alone["score"], abs=1e-5)
            assert len(other["scores"]) == 1


def test_nothing_to_classify_has_no_answers(classifier: Classifier) -> None:
    assert predict(classifier, make_adapter(classifier.base), []) == []


def test_an_input_that_cannot_be_read_is_named(classifier: Classifier) -> None:
    with pytest.raises(InputError, match="input 1: the text is empty"):
        predict(classifier, make_adapter(classifier.base), ["good", ""])


def test_an_adapter_of_another_base_is_refused(
    classifier: Classifier, tiny_gpt2: FrozenBase
) -> None:
    with pytest.raises(BaseMismatch, match="tiny-gpt2"):
        predict(classifier, make_adapter(tiny_gpt2), ["good"])


def test_options_that_the_adapter_cannot_follow_are_refused(classifier: Classifier) -> None:
    adapter = make_adapter(classifier.base)
    with pytest.raises(ConfigError, match="max_risk"):
        predict(classifier, adapter, ["good"], DecodeOptions(max_risk=0.1))


def test_there_is_one_adapter_an_input(classifier: Classifier) -> None:
    with pytest.raises(ValueError, match="shorter"):
        predict(classifier, [make_adapter(classifier.base)], ["good", "bad"])
