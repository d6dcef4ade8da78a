"""Adapters over labelled examples."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from making import make_adapter, make_examples

from sktuning.base import FrozenBase
from sktuning.classify import Classifier
from sktuning.config import Task
from sktuning.data import Example, TextInput
from sktuning.decode import decide
from sktuning.errors import DataError
from sktuning.evaluate import evaluate
from sktuning.logits import batches, logits_of
from sktuning.tokens import EncodedRow


@pytest.mark.parametrize("task", list(Task))
def test_an_adapter_agrees_with_its_own_answers(tiny_bert: FrozenBase, task: Task) -> None:
    classifier, adapter = Classifier(tiny_bert), make_adapter(tiny_bert, task)
    inputs = [e.input for e in make_examples(task)]
    rows = [
        r for r in classifier.encoder.encode(inputs, adapter.config) if isinstance(r, EncodedRow)
    ]
    answers = [decide(adapter.config, one) for one in logits_of(classifier, adapter, rows)]
    examples = [Example(i, a) for i, a in zip(inputs, answers, strict=True)]
    metrics = evaluate(classifier, adapter, examples)
    perfect = {"accuracy": 1.0, "exact_match": 1.0, "mse": 0.0, "token_accuracy": 1.0}
    assert any(metrics.get(name) == pytest.approx(best, abs=1e-9) for name, best in perfect.items())
    assert metrics["num_rows"] == len(examples)


def test_logits_keep_the_order_whatever_the_batches(tiny_bert: FrozenBase) -> None:
    classifier, adapter = Classifier(tiny_bert), make_adapter(tiny_bert)
    texts = [TextInput("good " * n) for n in (9, 1, 5, 2, 7)]
    rows = [
        r for r in classifier.encoder.encode(texts, adapter.config) if isinstance(r, EncodedRow)
    ]
    alone = [classifier.logits([(row, adapter)])[0] for row in rows]
    for limit in (1, 24, 4096):
        found = logits_of(classifier, adapter, rows, batch_tokens=limit)
        assert np.allclose(np.stack(found), np.stack(alone), atol=1e-5)


def test_rows_that_cannot_be_read_are_left_out_and_counted(tiny_bert: FrozenBase) -> None:
    classifier, adapter = Classifier(tiny_bert), make_adapter(tiny_bert)
    examples = [*make_examples(Task.SINGLE_LABEL), Example(TextInput("  "), "good")]
    metrics = evaluate(classifier, adapter, examples)
    assert metrics["num_rows"] == len(examples) - 1
    assert metrics["num_skipped"] == 1
    with pytest.raises(DataError, match="none of 1 examples"):
        evaluate(classifier, adapter, examples[-1:])


def test_a_length_limit_changes_what_is_read(tiny_bert: FrozenBase) -> None:
    classifier, adapter = Classifier(tiny_bert), make_adapter(tiny_bert, Task.REGRESSION)
    long = Example(TextInput("good bad " * 20), 0.0)
    short = replace(long, input=TextInput("good bad good"))
    cut = evaluate(classifier, adapter, [long], max_length=5)
    assert cut["mse"] == pytest.approx(evaluate(classifier, adapter, [short])["mse"], rel=1e-4)


@given(st.lists(st.integers(1, 50), max_size=40), st.integers(1, 60))
def test_batches_hold_every_row_once_within_the_limit(costs: list[int], limit: int) -> None:
    found = list(batches(costs, limit))
    assert sorted(i for batch in found for i in batch) == list(range(len(costs)))
    assert all(len(b) == 1 or sum(costs[i] for i in b) <= limit for b in found)
