"""Model cards: complete, and safe whatever the labels are called."""

import re
from dataclasses import replace
from typing import Any

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st
from making import make_trained, with_labels

from sktuning import card
from sktuning.base import FrozenBase
from sktuning.config import Task
from sktuning.training.progress import TrainedAdapter

REPORT = {"precision": 0.5, "recall": 0.25, "f1": 1 / 3, "support": 4}


@pytest.fixture(scope="module")
def trained(tiny_bert: FrozenBase) -> TrainedAdapter:
    labels = ("bad", "good", "so-so")
    metrics = {
        "accuracy": 0.75,
        "num_rows": 4,
        "per_label": dict.fromkeys(labels, REPORT),
        "confusion": {"labels": list(labels), "matrix": [[7, 1, 0], [0, 9, 0], [0, 0, 5]]},
    }
    return replace(make_trained(tiny_bert), metrics=metrics)


def front_matter(text: str) -> dict[str, Any]:
    values: dict[str, Any] = yaml.safe_load(text.split("---\n")[1])
    return values


def test_a_card_tells_what_there_is_to_know(trained: TrainedAdapter) -> None:
    text = card.render(trained)
    assert front_matter(text)["base_model"] == "tiny-bert"
    assert front_matter(text)["license"] == "unknown"
    for part in (
        "| prompt | classify the text (3 virtual tokens) |",
        "| accuracy | 0.7500 |",
        "| num_rows | 4 |",
        "| good | 0.5000 | 0.2500 | 0.3333 | 4 |",
        "| bad | 7 | 1 | 0 |",
        "| trainable parameters | 99 |",
        "| training | 8 |",
        "| seed | 0 |",
        "curl -s 'http://127.0.0.1:8080/classify?adapter=NAME'",
    ):
        assert part in text


@pytest.mark.parametrize("task", list(Task))
def test_every_task_has_a_card_with_a_body_to_send(tiny_bert: FrozenBase, task: Task) -> None:
    text = card.render(make_trained(tiny_bert, task))
    kind = "token" if task is Task.TOKENS else "text"
    assert front_matter(text)["pipeline_tag"] == f"{kind}-classification"
    assert ('"tokens"' if task is Task.TOKENS else '"text"') in text.split("## Use")[1]


def test_pairs_have_a_card_with_a_pair_to_send(tiny_bert: FrozenBase) -> None:
    text = card.render(make_trained(tiny_bert, is_pair=True))
    assert '"pairs"' in text
    assert "pairs of texts" in text


def test_a_matrix_of_many_labels_and_endless_lists_are_cut(trained: TrainedAdapter) -> None:
    names = [f"l{i}" for i in range(300)]
    metrics = {
        "accuracy": 1.0,
        "per_label": dict.fromkeys(names, REPORT),
        "confusion": {"labels": names[:21], "matrix": [[0] * 21] * 21},
    }
    text = card.render(replace(trained, metrics=metrics, label_counts=dict.fromkeys(names, 1)))
    assert "### Confusion" not in text
    assert text.count("… and 100 more.") == 2


def test_weights_stand_beside_the_labels_they_are_of(trained: TrainedAdapter) -> None:
    weighted = replace(trained, class_weights={"bad": 0.5, "good": 1.25, "so-so": 1.25})
    assert "| bad | 1 | 33.3% | 0.50 |" in card.render(weighted)
    assert "weight in the loss" not in card.render(trained)


def test_names_are_shown_as_they_are(trained: TrainedAdapter) -> None:
    nasty = "<script>alert(1)</script> | [x](javascript:1) `a` \n# big"
    labels = (nasty, "b", "c")
    metrics = {"per_label": {nasty: REPORT}, "confusion": {"labels": [nasty], "matrix": [[1]]}}
    made = replace(with_labels(trained, labels), metrics=metrics, label_counts={nasty: 3})
    text = card.render(made)
    assert "<script" not in text
    assert "](javascript" not in text
    assert not re.search(r"^# big", text, re.MULTILINE)
    for line in text.splitlines():
        if "script" in line:
            assert len(re.findall(r"(?<!\\)\|", line)) in (3, 4, 6)


@settings(deadline=None)
@given(name=st.text(st.characters(exclude_categories=[]), max_size=300))
def test_any_name_of_a_base_makes_valid_yaml(trained: TrainedAdapter, name: str) -> None:
    config = trained.adapter.config
    named = replace(config, base=replace(config.base, name=name))
    text = card.render(replace(trained, adapter=replace(trained.adapter, config=named)))
    text.encode()
    assert isinstance(front_matter(text)["base_model"], str)


@given(st.text(max_size=300))
def test_escaped_text_stays_on_its_line_and_in_its_cell(text: str) -> None:
    safe = card.escape(text)
    assert len(safe.splitlines()) <= 1
    assert "<" not in safe
    assert not re.search(r"(?<!\\)(\\\\)*\|", safe)
