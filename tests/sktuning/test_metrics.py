"""Scores against values worked out by hand or by another formula."""

import json
import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from making import make_config

from sktuning.config import Task
from sktuning.data import Target
from sktuning.errors import DataError
from sktuning.metrics import MAIN_METRIC, scalars, scale_of, score

SINGLE = make_config(Task.SINGLE_LABEL, labels=("a", "b", "c"))
MULTI = make_config(Task.MULTI_LABEL, labels=("x", "y"))
VALUE = make_config(Task.REGRESSION)
TAGS = make_config(Task.TOKENS, labels=("O", "B-per", "I-per", "B-loc"))


def one_hot(*picks: int, width: int = 3) -> Any:
    return np.eye(width, dtype=np.float32)[list(picks)] * 5


def numbers(*values: float) -> Any:
    return [np.array([value], dtype=np.float32) for value in values]


def test_single_label_counts_right_answers() -> None:
    metrics = score(SINGLE, list(one_hot(0, 0, 1, 2)), ["a", "b", "b", "c"])
    assert metrics["accuracy"] == 0.75
    assert metrics["per_label"]["a"] == {
        "precision": 0.5,
        "recall": 1.0,
        "f1": pytest.approx(2 / 3),
        "support": 1,
    }
    assert metrics["macro_f1"] == pytest.approx((2 / 3 + 2 / 3 + 1) / 3)
    assert metrics["confusion"] == {
        "labels": ["a", "b", "c"],
        "matrix": [[1, 0, 0], [1, 1, 0], [0, 0, 1]],
    }
    assert metrics["num_rows"] == 4


def test_labels_that_never_occur_do_not_lower_macro_f1() -> None:
    assert score(SINGLE, list(one_hot(0, 1)), ["a", "b"])["macro_f1"] == 1.0


def test_a_label_that_the_adapter_does_not_know_is_an_answer_it_got_wrong() -> None:
    metrics = score(SINGLE, list(one_hot(0, 1)), ["a", "new"])
    assert metrics["accuracy"] == 0.5
    assert metrics["per_label"]["new"]["recall"] == 0.0
    assert score(MULTI, [np.array([9.0, -9.0])], [("x", "new")])["micro_f1"] == pytest.approx(2 / 3)


def test_a_matrix_of_very_many_labels_is_left_out() -> None:
    config = make_config(Task.SINGLE_LABEL, labels=tuple(map(str, range(101))))
    metrics = score(config, list(one_hot(3, 4, width=101)), ["3", "4"])
    assert "confusion" not in metrics
    assert metrics["accuracy"] == 1.0


def test_matthews_is_zero_when_one_answer_is_given_always() -> None:
    assert score(SINGLE, list(one_hot(0, 0)), ["a", "a"])["mcc"] == 0.0
    assert score(SINGLE, list(one_hot(0, 0)), ["a", "b"])["mcc"] == 0.0
    assert score(SINGLE, list(one_hot(0, 1)), ["a", "b"])["mcc"] == 1.0


STARS = make_config(labels=("1", "10", "2", "3", "4", "5", "6", "7", "8", "9"))


def test_wrong_answers_on_a_scale_count_by_how_far_they_are_off() -> None:
    at = {label: i for i, label in enumerate(STARS.labels)}
    true = ["1", "2", "9", "10"]
    near = score(STARS, list(one_hot(*(at[n] for n in ("1", "3", "9", "9")), width=10)), true)
    far = score(STARS, list(one_hot(*(at[n] for n in ("1", "9", "9", "1")), width=10)), true)
    assert near["accuracy"] == far["accuracy"] == 0.5
    assert near["mae"] == pytest.approx((1 + 1) / 4)
    assert far["mae"] == pytest.approx((7 + 9) / 4)
    # 1 - sum of squared distances / the same with answers drawn from the margins
    by_chance = sum((a - b) ** 2 for a in (1, 2, 9, 10) for b in (1, 3, 9, 9)) / 4
    assert near["quadratic_weighted_kappa"] == pytest.approx(1 - 2 / by_chance)
    assert far["quadratic_weighted_kappa"] < near["quadratic_weighted_kappa"]


def test_one_and_the_same_answer_on_a_scale_has_no_kappa() -> None:
    metrics = score(STARS, list(one_hot(0, width=10)), ["1"])
    assert (metrics["mae"], metrics["quadratic_weighted_kappa"]) == (0.0, 0.0)


def test_names_have_no_order() -> None:
    assert "mae" not in score(SINGLE, list(one_hot(0)), ["a"])
    assert "mae" not in score(STARS, list(one_hot(0, width=10)), ["unknown"])


@pytest.mark.parametrize(
    ("labels", "scale"),
    [
        (("3", "1", "2"), (3, 1, 2)),
        (("-1", "0", "+1"), (-1, 0, 1)),
        (("1.0", "2.0", "3.0"), (1, 2, 3)),
        (("0", "1"), ()),  # no and yes
        (("1", "2", "4"), ()),
        (("1", "1.0", "2"), ()),
        (("1", "2", "three"), ()),
        (tuple(map(str, range(21))), ()),  # numbers of things
    ],
)
def test_whole_numbers_that_follow_each_other_are_a_scale(
    labels: tuple[str, ...], scale: tuple[int, ...]
) -> None:
    assert scale_of(labels) == scale


def test_multi_label_micro_macro_and_average_precision() -> None:
    logits = [np.array(v, dtype=np.float32) for v in ([3, -3], [2, 1], [-1, -2])]
    metrics = score(MULTI, logits, [("x",), ("y",), ("x",)])
    assert metrics["micro_f1"] == pytest.approx(2 * 2 / (2 * 2 + 1 + 1))
    assert metrics["per_label"]["x"]["f1"] == pytest.approx(0.5)
    assert metrics["macro_f1"] == pytest.approx(0.75)
    # x ranked right, wrong, right: (1/1 + 2/3) / 2; y first of all: 1
    assert metrics["average_precision"] == pytest.approx(((1 + 2 / 3) / 2 + 1) / 2)
    assert metrics["exact_match"] == pytest.approx(1 / 3)


def test_rows_without_any_label_can_be_scored() -> None:
    metrics = score(MULTI, [np.array([-1.0, -1.0])], [()])
    assert metrics["average_precision"] == 0.0
    assert metrics["exact_match"] == 1.0


def test_thresholds_decide_what_a_multi_label_answer_is() -> None:
    high = make_config(Task.MULTI_LABEL, labels=("x", "y"), thresholds=(0.99, 0.5))
    assert score(high, [np.array([2.0, 2.0])], [("y",)])["micro_f1"] == 1.0


def test_regression_correlates() -> None:
    metrics = score(VALUE, numbers(1, 2, 4), [1.0, 3.0, 5.0])
    seen, true = np.array([1, 2, 4]), np.array([1, 3, 5])
    expected = ((seen - seen.mean()) * (true - true.mean())).sum() / math.sqrt(
        ((seen - seen.mean()) ** 2).sum() * ((true - true.mean()) ** 2).sum()
    )
    assert metrics["pearson"] == pytest.approx(expected)
    assert metrics["spearman"] == pytest.approx(1)
    assert metrics["mse"] == pytest.approx(2 / 3)
    assert metrics["mae"] == pytest.approx(2 / 3)


@pytest.mark.parametrize("seen", [(2.0, 2.0), (2.0,)])
def test_a_constant_answer_correlates_by_zero_and_says_why(seen: tuple[float, ...]) -> None:
    metrics = score(VALUE, numbers(*seen), [1.0, 2.0][: len(seen)])
    assert (metrics["pearson"], metrics["spearman"]) == (0.0, 0.0)
    assert "undefined" in metrics["note"]


def test_entities_count_only_when_whole() -> None:
    true: list[Target] = [("B-per", "I-per", "O", "B-loc"), ("O", "B-per")]
    seen = [one_hot(1, 2, 0, 0, width=4), one_hot(1, 2, width=4)]
    metrics = score(TAGS, seen, true)
    # found: per(0-1) right, per(0-1) in the second row wrong; missed: loc, per
    assert metrics["entity_precision"] == pytest.approx(1 / 2)
    assert metrics["entity_recall"] == pytest.approx(1 / 3)
    assert metrics["entity_f1"] == pytest.approx(0.4)
    assert metrics["token_accuracy"] == pytest.approx(3 / 6)
    assert metrics["per_label"]["loc"]["support"] == 1
    assert metrics["per_label"]["per"]["recall"] == pytest.approx(0.5)


def test_words_that_were_cut_off_are_missed_entities() -> None:
    seen = np.vstack([one_hot(1, width=4), np.full((1, 4), np.nan, dtype=np.float32)])
    metrics = score(TAGS, [seen], [("B-per", "B-loc")])
    assert metrics["entity_recall"] == 0.5
    assert metrics["entity_precision"] == 1.0


def test_text_without_entities_scores_zero_and_says_why() -> None:
    metrics = score(TAGS, [one_hot(0, 0, width=4)], [("O", "O")])
    assert metrics["entity_f1"] == 0.0
    assert "no entities" in metrics["note"]


@pytest.mark.parametrize(("logits", "targets"), [([], []), (numbers(1.0), [1.0, 2.0])])
def test_nothing_to_compare_is_an_error(logits: Any, targets: list[float]) -> None:
    with pytest.raises(DataError, match="nothing to compare"):
        score(VALUE, logits, targets)


@pytest.mark.parametrize("config", [SINGLE, MULTI, VALUE, TAGS])
def test_a_target_of_another_task_is_an_error_or_wrong(config: Any) -> None:
    wrong: Target = ("a", "b") if config.task is Task.REGRESSION else "B-per"
    logits = [np.zeros((1, 4)) if config.task is Task.TOKENS else np.zeros(config.num_outputs)]
    if config.task is Task.SINGLE_LABEL:
        assert score(config, logits, [wrong])["accuracy"] == 0.0
    else:
        with pytest.raises(DataError, match="expected"):
            score(config, logits, [wrong])


@given(st.data(), st.sampled_from([SINGLE, MULTI, VALUE]), st.integers(1, 8))
def test_scores_are_json_whatever_the_answers(data: Any, config: Any, rows: int) -> None:
    width = config.num_outputs
    value = st.floats(-100, 100, width=32)
    logits = [
        np.array(data.draw(st.lists(value, min_size=width, max_size=width))) for _ in range(rows)
    ]
    label = st.sampled_from(config.labels) if config.labels else value
    target = st.lists(label, unique=True).map(tuple) if config is MULTI else label
    targets = [data.draw(target) for _ in range(rows)]
    metrics = score(config, logits, targets)
    json.dumps(metrics, allow_nan=False)
    assert MAIN_METRIC[config.task] in scalars(metrics)
