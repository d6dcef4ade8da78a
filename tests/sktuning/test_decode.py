"""Logits to answers."""

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from making import make_config

from sktuning.config import AdapterConfig, RiskLevel, Task
from sktuning.data import TextInput
from sktuning.decode import DecodeOptions, decide, decode, probabilities, risk_threshold
from sktuning.errors import ConfigError, InputError

SINGLE = make_config(Task.SINGLE_LABEL, labels=("bad", "good", "mixed"))
MULTI = make_config(Task.MULTI_LABEL, labels=("joy", "anger", "fear"))
VALUE = make_config(Task.REGRESSION)
TAGS = make_config(Task.TOKENS, labels=("O", "B-per", "I-per"))
TEXT = TextInput("any text")
NUMBERS = st.floats(-(2.0**100), 2.0**100, width=32, allow_subnormal=False)


@dataclass(frozen=True)
class Row:
    """What decoding reads of an encoded row."""

    num_dropped: int = 0
    words: tuple[tuple[int, int], ...] | None = None
    word_index: tuple[int, ...] | None = None


def logits(*values: float) -> Any:
    return np.array(values, dtype=np.float32)


def tag_logits(*tags: int) -> Any:
    """Each word sure of the tag of that number; below 0: it was cut off."""
    rows = [np.where(np.arange(3) == t, 4.0, 0.0) if t >= 0 else [np.nan] * 3 for t in tags]
    return np.array(rows, dtype=np.float32).reshape(-1, 3)


def test_a_single_label_comes_with_its_probabilities_best_first() -> None:
    item = decode(SINGLE, Row(), TEXT, logits(0, 2, 1), DecodeOptions())
    total = 1 + math.e**2 + math.e
    assert item["label"] == "good"
    assert list(item["scores"]) == ["good", "mixed", "bad"]
    assert item["score"] == pytest.approx(math.e**2 / total, abs=1e-6)
    assert sum(item["scores"].values()) == pytest.approx(1, abs=1e-5)
    assert item.keys() == {"label", "score", "scores"}


def test_temperature_softens_probabilities_but_not_logits() -> None:
    config = make_config(Task.SINGLE_LABEL, labels=("bad", "good"), temperature=2.0)
    soft = decode(config, Row(), TEXT, logits(0, 2), DecodeOptions())
    raw = decode(config, Row(), TEXT, logits(0, 2), DecodeOptions(scores="logit"))
    assert soft["score"] == pytest.approx(1 / (1 + math.exp(-1)), abs=1e-6)
    assert raw["scores"] == {"good": 2.0, "bad": 0.0}


def test_top_k_and_no_scores_leave_out_what_they_say() -> None:
    two = decode(SINGLE, Row(), TEXT, logits(0, 2, 1), DecodeOptions(top_k=2))
    none = decode(SINGLE, Row(), TEXT, logits(0, 2, 1), DecodeOptions(scores="none"))
    assert list(two["scores"]) == ["good", "mixed"]
    assert none == {"label": "good"}


@pytest.mark.parametrize("scores", ["prob", "logit", "none"])
def test_an_unsure_answer_abstains_and_keeps_its_best_label(scores: Any) -> None:
    unsure = DecodeOptions(threshold=0.5, scores=scores)
    assert decode(SINGLE, Row(), TEXT, logits(1, 1.1, 1), unsure)["abstain"] is True
    assert decode(SINGLE, Row(), TEXT, logits(1, 1.1, 1), unsure)["label"] == "good"
    assert "abstain" not in decode(SINGLE, Row(), TEXT, logits(0, 9, 0), unsure)


def test_multi_label_gives_the_labels_above_their_thresholds() -> None:
    item = decode(MULTI, Row(), TEXT, logits(1, -2, 3), DecodeOptions())
    assert item["labels"] == ["fear", "joy"]
    assert list(item["scores"]) == ["fear", "joy", "anger"]
    strict = make_config(Task.MULTI_LABEL, labels=MULTI.labels, thresholds=(0.9, 0.1, 0.5))
    own = decode(strict, Row(), TEXT, logits(1, -2, 3), DecodeOptions())
    assert own["labels"] == ["fear", "anger"]
    asked = decode(strict, Row(), TEXT, logits(1, -2, 3), DecodeOptions(threshold=0.99))
    assert asked["labels"] == []


def test_multi_label_top_k_bounds_labels_and_scores() -> None:
    item = decode(MULTI, Row(), TEXT, logits(5, 6, 7), DecodeOptions(top_k=1))
    assert item["labels"] == ["fear"]
    assert list(item["scores"]) == ["fear"]


def test_regression_gives_a_value() -> None:
    assert decode(VALUE, Row(), TEXT, logits(3.25), DecodeOptions(threshold=0.9)) == {"value": 3.25}


def test_entities_are_placed_in_the_text() -> None:
    row = Row(words=((0, 3), (4, 8), (9, 12)), word_index=(1, 2, 3))
    item = decode(TAGS, row, TextInput("Ada King sat"), tag_logits(1, 2, 0), DecodeOptions())
    entity = item["entities"][0]
    assert {**entity, "score": 0} == {
        "label": "per",
        "start": 0,
        "end": 8,
        "text": "Ada King",
        "score": 0,
    }
    assert entity["score"] == pytest.approx(math.e**4 / (math.e**4 + 2), abs=1e-6)
    assert "tags" not in item


def test_words_that_came_as_a_list_get_tags_and_places_in_the_joined_text() -> None:
    item = TextInput(tokens=("so", "Ada", "King"))
    row = Row(words=((0, 2), (3, 6), (7, 11)), word_index=(1, 2, 3))
    answer = decode(TAGS, row, item, tag_logits(0, 1, 2), DecodeOptions(scores="none"))
    assert answer == {
        "entities": [{"label": "per", "start": 3, "end": 11, "text": "Ada King"}],
        "tags": ["O", "B-per", "I-per"],
    }


def test_words_that_were_cut_off_are_outside_and_said_to_be_dropped() -> None:
    item = TextInput(tokens=("Ada", "King", "sat"))
    row = Row(num_dropped=5, words=((0, 3), (4, 8), (9, 12)), word_index=(1, -1, -1))
    answer = decode(TAGS, row, item, tag_logits(1, -1, -1), DecodeOptions())
    assert answer["tags"] == ["B-per", "O", "O"]
    assert answer["truncated"] == 5
    assert [e["text"] for e in answer["entities"]] == ["Ada"]


def test_entities_below_the_threshold_are_left_out() -> None:
    row = Row(words=((0, 3),), word_index=(0,))
    weak = np.array([[1.0, 1.1, 1.0]], dtype=np.float32)
    assert decode(TAGS, row, TextInput("Ada"), weak, DecodeOptions(threshold=0.6)) == {
        "entities": []
    }
    assert decode(TAGS, row, TextInput("Ada"), weak, DecodeOptions())["entities"]


def test_a_text_of_no_words_has_no_entities() -> None:
    empty = np.zeros((0, 3), dtype=np.float32)
    row = Row(words=(), word_index=())
    assert decode(TAGS, row, TextInput(""), empty, DecodeOptions()) == {"entities": []}


def test_logits_that_are_not_finite_are_an_error_of_that_item() -> None:
    with pytest.raises(InputError, match="finite"):
        decode(SINGLE, Row(), TEXT, logits(0, float("nan"), 1), DecodeOptions())
    row = Row(words=((0, 3),), word_index=(1,))  # the word was not cut off
    with pytest.raises(InputError, match="finite"):
        decode(TAGS, row, TextInput("Ada"), tag_logits(-1), DecodeOptions())


def test_equal_scores_keep_the_labels_order() -> None:
    item = decode(SINGLE, Row(), TEXT, logits(1, 1, 1), DecodeOptions())
    assert list(item["scores"]) == ["bad", "good", "mixed"]
    assert item["label"] == "bad"


def test_decisions_by_task() -> None:
    assert decide(SINGLE, logits(0, 2, 1)) == "good"
    assert decide(MULTI, logits(1, -2, 3)) == ("joy", "fear")
    assert decide(VALUE, logits(3.25)) == 3.25
    assert decide(TAGS, tag_logits(1, -1, 2)) == ("B-per", "O", "I-per")


@pytest.mark.parametrize("config", [SINGLE, MULTI])
@given(values=hnp.arrays(np.float32, 3, elements=NUMBERS))
def test_probabilities_are_probabilities_at_any_size(config: Any, values: Any) -> None:
    probs = probabilities(config, values)
    assert np.isfinite(probs).all()
    assert ((probs >= 0) & (probs <= 1)).all()
    if config is SINGLE:
        assert probs.sum() == pytest.approx(1)
    assert probs[values.argmax()] == probs.max()


@pytest.mark.parametrize(
    "options", [{"top_k": 0}, {"threshold": 1.5}, {"threshold": -0.1}, {"scores": "all"}]
)
def test_options_that_cannot_work_are_refused(options: dict[str, Any]) -> None:
    with pytest.raises(ConfigError):
        DecodeOptions(**options)


RISKS = (RiskLevel(0.05, 0.9, 0.4), RiskLevel(0.1, 0.7, 0.8))


@pytest.mark.parametrize(
    ("max_risk", "abstains"), [(None, False), (0.2, False), (0.1, False), (0.09, True)]
)
def test_answers_less_sure_than_a_risk_asks_for_abstain(
    max_risk: float | None, abstains: bool
) -> None:
    config = make_config(Task.SINGLE_LABEL, labels=("bad", "good"), risk_levels=RISKS)
    eighty = logits(0, math.log(4))  # 0.8
    item = decode(config, Row(), TEXT, eighty, DecodeOptions(max_risk=max_risk))
    assert item.get("abstain", False) is abstains


@pytest.mark.parametrize(
    ("config", "reason"),
    [
        (make_config(Task.SINGLE_LABEL, labels=("a", "b"), risk_levels=RISKS), "vouches for 0.05"),
        (SINGLE, "no risk levels"),
        (MULTI, "single-label"),
        (TAGS, "single-label"),
    ],
)
def test_a_risk_that_nobody_vouches_for_is_refused(config: AdapterConfig, reason: str) -> None:
    with pytest.raises(ConfigError, match=reason):
        risk_threshold(config, 0.01)


@pytest.mark.parametrize("max_risk", [0.0, -0.1, 1.1, math.nan])
def test_a_risk_is_a_share(max_risk: float) -> None:
    with pytest.raises(ConfigError, match="max_risk"):
        DecodeOptions(max_risk=max_risk)
