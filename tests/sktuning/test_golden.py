"""Golden rows: recorded, written, and what a self-test lets through."""

import json
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from making import make_adapter, make_config, make_examples

from sktuning import golden
from sktuning.adapter import Adapter
from sktuning.base import FrozenBase
from sktuning.classify import Classifier
from sktuning.config import BaseIdentity, Method, Task
from sktuning.data import Example, TextInput
from sktuning.errors import ArtifactCorrupt, BaseMismatch, DataError, SelfTestFailed
from sktuning.golden import Golden, GoldenRow, record
from sktuning.heads import Head
from sktuning.state import PromptState


def with_head(adapter: Adapter, weight: torch.Tensor) -> Adapter:
    return replace(adapter, head=Head(weight, adapter.head.bias))


@pytest.mark.parametrize("task", list(Task))
def test_what_was_recorded_passes_and_survives_writing(tiny_bert: FrozenBase, task: Task) -> None:
    classifier, adapter = Classifier(tiny_bert), make_adapter(tiny_bert, task)
    made = record(classifier, adapter, make_examples(task))
    read = Golden.parse(made.to_bytes(), adapter.config, "golden.json")
    assert read.dtype == "float32"
    for row, again in zip(made.rows, read.rows, strict=True):
        assert (row.input, row.answer) == (again.input, again.answer)
        assert np.array_equal(row.logits, again.logits)
    golden.check(read, adapter, classifier)


@pytest.mark.parametrize("task", list(Task))
def test_another_head_fails_and_says_which_row(tiny_bert: FrozenBase, task: Task) -> None:
    classifier, adapter = Classifier(tiny_bert), make_adapter(tiny_bert, task)
    made = record(classifier, adapter, make_examples(task))
    other = with_head(adapter, -adapter.head.weight)
    with pytest.raises(SelfTestFailed, match=r"golden row \d, in float32: .*(expected|off by)"):
        golden.check(made, other, classifier)


def test_a_small_error_fails_in_float32_though_every_label_is_right(tiny_bert: FrozenBase) -> None:
    classifier, adapter = Classifier(tiny_bert), make_adapter(tiny_bert)
    made = record(classifier, adapter, make_examples(Task.SINGLE_LABEL))
    golden.check(made, with_head(adapter, adapter.head.weight * (1 + 1e-6)), classifier)
    with pytest.raises(SelfTestFailed, match="off by"):
        golden.check(made, with_head(adapter, adapter.head.weight * 1.001), classifier)


def test_a_prompt_state_with_one_other_number_fails(tiny_bert: FrozenBase) -> None:
    classifier, adapter = Classifier(tiny_bert), make_adapter(tiny_bert)
    made = record(classifier, adapter, make_examples(Task.SINGLE_LABEL))
    assert adapter.state.kv is not None
    kv = adapter.state.kv.clone()
    kv[0, 1, 0, 0, 0] += 5
    with pytest.raises(SelfTestFailed):
        golden.check(made, replace(adapter, state=PromptState(kv=kv)), classifier)


def test_bfloat16_is_given_its_rounding_but_not_another_answer(tiny_bert: FrozenBase) -> None:
    adapter = make_adapter(tiny_bert)
    made = record(Classifier(tiny_bert), adapter, make_examples(Task.SINGLE_LABEL))
    rounded = replace(
        made,
        rows=tuple(replace(r, logits=r.logits + 0.02 * np.abs(r.logits).max()) for r in made.rows),
    )
    with pytest.raises(SelfTestFailed, match="off by"):
        golden.check(rounded, adapter, Classifier(tiny_bert))
    golden.check(replace(rounded, dtype="bfloat16"), adapter, Classifier(tiny_bert))
    flipped = replace(
        rounded,
        dtype="bfloat16",
        rows=tuple(replace(r, logits=r.logits[[1, 2, 0]]) for r in made.rows),
    )
    with pytest.raises(SelfTestFailed, match="expected, got"):
        golden.check(flipped, adapter, Classifier(tiny_bert))


def test_an_adapter_of_another_base_or_shape_is_refused_in_words(tiny_bert: FrozenBase) -> None:
    classifier, adapter = Classifier(tiny_bert), make_adapter(tiny_bert)
    made = record(classifier, adapter, make_examples(Task.SINGLE_LABEL))
    stranger = replace(adapter, config=adapter.config.with_base(BaseIdentity("x", "sha256:1")))
    with pytest.raises(BaseMismatch):
        golden.check(made, stranger, classifier)
    narrow = replace(adapter, head=Head(torch.ones(3, 7), torch.ones(3)))
    with pytest.raises(SelfTestFailed, match="cannot run"):
        golden.check(made, narrow, classifier)
    deep = replace(adapter, state=PromptState(kv=torch.ones(2, 2, 4, adapter.state.length, 3)))
    with pytest.raises(SelfTestFailed, match="cannot run"):
        golden.check(made, deep, classifier)


def test_a_golden_input_that_cannot_be_read_is_refused(tiny_bert: FrozenBase) -> None:
    adapter = make_adapter(tiny_bert)
    row = GoldenRow(TextInput(" "), "good", np.zeros(3, dtype=np.float32))
    with pytest.raises(SelfTestFailed, match="no longer be read"):
        golden.check(Golden("float32", (row,)), adapter, Classifier(tiny_bert))


def test_rows_are_short_and_spread_over_the_answers(tiny_bert: FrozenBase) -> None:
    adapter = make_adapter(tiny_bert)
    words = ("good", "bad", "the", "a", "is", "was", "not", "very", "great", "awful")
    texts = [f"{a} {b} {c}" for a in words for b in words for c in ("text", "good")]
    examples = [Example(TextInput("good " * 200), "good")]
    examples += [Example(TextInput(text), "good") for text in texts]
    made = record(Classifier(tiny_bert), adapter, examples, count=6)
    assert len(made.rows) == 6
    assert all(len(row.input.text) < 100 for row in made.rows)
    assert len({row.input for row in made.rows}) == 6


def test_long_rows_are_recorded_when_there_are_no_others(tiny_bert: FrozenBase) -> None:
    example = Example(TextInput("text " + " " * 500 + "good"), "good")
    made = record(Classifier(tiny_bert), make_adapter(tiny_bert), [example])
    assert len(made.rows) == 1


def test_rows_that_cannot_be_read_whole_cannot_be_golden(tiny_bert: FrozenBase) -> None:
    adapter = make_adapter(tiny_bert)
    for text in (" ", "good " * 500):
        with pytest.raises(DataError, match="read whole"):
            record(Classifier(tiny_bert), adapter, [Example(TextInput(text), "good")])


def test_prompts_in_the_row_are_tested_too(tiny_bert: FrozenBase) -> None:
    adapter = make_adapter(tiny_bert, method=Method.SK_PROMPT)
    made = record(Classifier(tiny_bert), adapter, make_examples(Task.SINGLE_LABEL))
    golden.check(made, adapter, Classifier(tiny_bert))
    assert adapter.state.embeds is not None
    other = replace(adapter, state=PromptState(embeds=adapter.state.embeds.roll(1, 0)))
    with pytest.raises(SelfTestFailed):
        golden.check(made, other, Classifier(tiny_bert))


ROW = {"input": {"text": "a"}, "answer": "bad", "logits": [1.0, 0.0, 0.0]}


@pytest.mark.parametrize(
    "change",
    [
        {"format": 2},
        {"dtype": "int8"},
        {"dtype": ["float32"]},
        {"rows": []},
        {"rows": {}},
        {"rows": [ROW] * 65},
        {"rows": ["row"]},
        {"rows": [{**ROW, "more": 1}]},
        {"rows": [{**ROW, "input": "a"}]},
        {"rows": [{**ROW, "input": {"text": 5}}]},
        {"rows": [{**ROW, "input": {"text": "a", "path": "/etc"}}]},
        {"rows": [{**ROW, "input": {"tokens": "ab"}}]},
        {"rows": [{**ROW, "input": {"tokens": [1]}}]},
        {"rows": [{**ROW, "logits": [1.0, 0.0]}]},
        {"rows": [{**ROW, "logits": [[1.0, 0.0, 0.0]]}]},
        {"rows": [{**ROW, "logits": [[1.0], [1.0, 2.0]]}]},
        {"rows": [{**ROW, "logits": ["x", 0.0, 0.0]}]},
        {"rows": [{**ROW, "logits": [1e200, 0.0, 0.0]}]},
        {"rows": [{**ROW, "logits": [10**400, 0.0, 0.0]}]},
        {"rows": [{**ROW, "logits": {"a": 1}}]},
        {"rows": [{**ROW, "logits": None}]},
    ],
)
def test_hostile_golden_rows_are_refused(change: dict[str, Any]) -> None:
    data = {"format": 1, "dtype": "float32", "rows": [ROW], **change}
    Golden.parse(
        json.dumps({**data, "format": 1, "dtype": "float32", "rows": [ROW]}).encode(),
        make_config(),
        "golden.json",
    )
    with pytest.raises(ArtifactCorrupt, match=r"golden\.json"):
        Golden.parse(json.dumps(data).encode(), make_config(), "golden.json")
