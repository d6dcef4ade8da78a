"""What held-out rows say of probabilities, and what is made of it."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
from making import make_config
from numpy.typing import NDArray

from sktuning.calibration import Confidences, calibrate, confidences, expected_calibration_error
from sktuning.config import AdapterConfig, Task
from sktuning.data import Target
from sktuning.decode import Array, decide, probabilities
from sktuning.metrics import score

LABELS = ("a", "b", "c")
SINGLE = make_config(Task.SINGLE_LABEL, labels=LABELS)
MULTI = make_config(Task.MULTI_LABEL, labels=LABELS)
TAGS = make_config(Task.TOKENS, labels=("O", "B-x", "I-x"))
Rows = tuple[list[Array], list[Target]]


def _choices(count: int, overconfidence: float, seed: int = 0) -> Rows:
    """Labels drawn from softmax(z); the logits given are z times the overconfidence."""
    rng = np.random.default_rng(seed)
    z = rng.normal(0, 1.5, (count, 3))
    probs = probabilities(SINGLE, z)
    drawn: list[Target] = [LABELS[rng.choice(3, p=row)] for row in probs]
    return list(z * overconfidence), drawn


def _sets(count: int, shift: Sequence[float], seed: int = 0) -> Rows:
    """Labels drawn from sigmoid(z); the logits given are z and what they are off by."""
    rng = np.random.default_rng(seed)
    z = rng.normal(-1.5, 1.5, (count, 3))
    hot = rng.random(z.shape) < probabilities(MULTI, z)
    return list(z + np.array(shift)), [tuple(np.array(LABELS)[row]) for row in hot]


def _error_above(threshold: float, seen: Confidences) -> float:
    kept = seen.values >= threshold
    return float(1 - seen.right[kept].mean())


def test_the_temperature_that_was_put_in_is_found_and_repairs_the_probabilities() -> None:
    logits, targets = _choices(2000, overconfidence=3.0)
    config, metrics = calibrate(SINGLE, logits, targets)
    assert config.temperature == pytest.approx(3.0, rel=0.1)
    assert metrics["ece"] < metrics["ece_uncalibrated"] / 3
    fresh_logits, fresh_targets = _choices(2000, overconfidence=3.0, seed=1)
    fresh = confidences([config] * 2000, fresh_logits, fresh_targets)
    assert expected_calibration_error(fresh) == pytest.approx(metrics["ece"], abs=0.03)


def test_calibration_does_not_change_single_label_answers() -> None:
    logits, targets = _choices(200, overconfidence=3.0)
    _, metrics = calibrate(SINGLE, logits, targets)
    plain = score(SINGLE, logits, targets)
    assert {name: metrics[name] for name in plain} == plain


def test_few_rows_leave_the_temperature_near_one_and_fewer_change_nothing() -> None:
    logits, targets = _choices(12, overconfidence=3.0)
    config, _ = calibrate(SINGLE, logits, targets)
    assert 1.0 < config.temperature < 2.5
    config, metrics = calibrate(SINGLE, logits[:9], targets[:9])
    assert config == SINGLE
    assert metrics == score(SINGLE, logits[:9], targets[:9])


def test_always_right_answers_keep_a_finite_temperature() -> None:
    targets: list[Target] = [LABELS[i % 3] for i in range(300)]
    logits = [np.eye(3)[i % 3] * 8 for i in range(300)]
    config, metrics = calibrate(SINGLE, logits, targets)
    assert 0.05 <= config.temperature < 1
    assert metrics["ece"] < 0.01


def test_expected_calibration_error_by_hand() -> None:
    values = np.array([0.95, 0.95, 0.95, 0.95, 0.55, 0.55])
    right = np.array([True, True, True, False, False, True])
    wanted = (4 * abs(0.95 - 0.75) + 2 * abs(0.55 - 0.5)) / 6
    assert expected_calibration_error(Confidences(values, right)) == pytest.approx(wanted)


def test_thresholds_find_answers_that_one_half_misses() -> None:
    logits, targets = _sets(1500, shift=(0.0, -2.0, -4.0))
    config, metrics = calibrate(MULTI, logits, targets)
    plain = score(MULTI, logits, targets)
    assert metrics["micro_f1"] > plain["micro_f1"] + 0.1
    lowest_last = np.argsort(config.thresholds)
    assert list(lowest_last) == [2, 1, 0]
    fresh = _sets(1500, shift=(0.0, -2.0, -4.0), seed=1)
    assert score(config, *fresh)["micro_f1"] == pytest.approx(metrics["micro_f1"], abs=0.04)


def test_the_metrics_promise_no_more_than_fresh_rows_show() -> None:
    """Fitted and judged on the same rows, noise would look learned."""
    gaps = []
    for seed in range(8):
        rng = np.random.default_rng(seed)
        labels = tuple(f"l{i}" for i in range(30))
        config = make_config(Task.MULTI_LABEL, labels=labels)
        logits: list[Array] = list(rng.normal(-1, 1, (120, 30)))
        hot: NDArray[np.bool_] = rng.random((120, 30)) < 0.1
        targets: list[Target] = [tuple(np.array(labels)[row]) for row in hot]
        fitted, metrics = calibrate(config, logits[:60], targets[:60])
        promised = metrics["micro_f1"]
        kept = score(fitted, logits[60:], targets[60:])["micro_f1"]
        flattered = score(fitted, logits[:60], targets[:60])["micro_f1"]
        assert flattered > promised
        gaps.append(promised - kept)
    assert np.mean(gaps) < 0.02


def test_a_risk_level_holds_on_fresh_rows() -> None:
    config, _ = calibrate(SINGLE, *_choices(3000, overconfidence=2.0))
    assert [level.risk for level in config.risk_levels][-1] == 0.3
    fresh = confidences([config] * 3000, *_choices(3000, overconfidence=2.0, seed=1))
    for level in config.risk_levels:
        assert _error_above(level.threshold, fresh) <= level.risk * 1.25
        coverage = float((fresh.values >= level.threshold).mean())
        assert coverage == pytest.approx(level.coverage, abs=0.05)


def test_risk_levels_loosen_with_the_risk_and_need_rows() -> None:
    config, _ = calibrate(SINGLE, *_choices(3000, overconfidence=1.0))
    thresholds = [level.threshold for level in config.risk_levels]
    assert thresholds == sorted(thresholds, reverse=True)
    few, _ = calibrate(SINGLE, *_choices(30, overconfidence=1.0))
    assert all(level.risk >= 0.1 for level in few.risk_levels)  # 30 right answers vouch for 7.4 %


def test_words_that_were_cut_off_and_unknown_tags_do_not_count() -> None:
    rng = np.random.default_rng(0)
    logits: list[Array] = [rng.normal(0, 3, (4, 3)) for _ in range(40)]
    targets: list[Target] = [tuple(TAGS.labels[i] for i in row.argmax(axis=-1)) for row in logits]
    config, metrics = calibrate(TAGS, logits, targets)
    cut = [np.vstack([row, np.full((1, 3), np.nan)]) for row in logits]
    longer: list[Target] = [(*_tags(target), "B-unknown") for target in targets]
    same, again = calibrate(TAGS, cut, longer)
    assert same.temperature == config.temperature
    assert again["ece"] == pytest.approx(metrics["ece"])


def test_a_label_that_the_adapter_does_not_know_is_a_wrong_answer() -> None:
    logits, targets = _choices(100, overconfidence=1.0)
    config, metrics = calibrate(SINGLE, logits, [*targets[:50], *["new"] * 50])
    assert 0 < metrics["accuracy"] <= 0.5
    assert config.labels == LABELS


def test_numbers_are_left_as_they_are() -> None:
    config = make_config(Task.REGRESSION)
    logits: list[Array] = [np.array([float(i)]) for i in range(20)]
    targets: list[Target] = [float(i % 7) for i in range(20)]
    assert calibrate(config, logits, targets) == (config, score(config, logits, targets))


def test_labels_that_never_hold_leave_no_thresholds() -> None:
    logits = [np.array([-3.0, -4.0, -5.0]) for _ in range(20)]
    config, metrics = calibrate(MULTI, logits, [()] * 20)
    assert config.thresholds == ()
    assert metrics["exact_match"] == 1.0


def test_decisions_follow_the_fitted_thresholds() -> None:
    config, _ = calibrate(MULTI, *_sets(500, shift=(-3.0, -3.0, -3.0)))
    row = np.array([-2.5, -2.5, -20.0])
    assert decide(MULTI, row) == ()
    assert decide(config, row) == ("a", "b")


def _tags(target: Any) -> tuple[str, ...]:
    return tuple(target)


def test_the_configuration_survives_being_written() -> None:
    config, _ = calibrate(SINGLE, *_choices(500, overconfidence=2.0))
    assert AdapterConfig.from_dict(config.to_dict()) == config
    assert config.risk_levels
