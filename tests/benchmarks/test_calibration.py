"""The benchmark of calibration by its command, and its figures, on data small enough for a test."""

import json
from pathlib import Path

import calibration
import numpy as np
import pytest
from calibration import Answered
from running_benchmark import rows_of

from sktuning.calibration import Confidences, expected_calibration_error
from sktuning.config import AdapterConfig, BaseIdentity, RiskLevel, Task

WORDS = {"positive": ("good", "great"), "negative": ("bad", "awful")}
CONFIG = AdapterConfig(
    Task.SINGLE_LABEL, ("no", "yes"), BaseIdentity("b", "d"), risk_levels=(RiskLevel(0.1, 0.9, 1),)
)


def test_an_adapter_is_trained_once_and_measured_again(
    tiny_bert_folder: Path, tmp_path: Path
) -> None:
    folder = tmp_path / "moods"
    folder.mkdir()
    for split, count in (("train", 30), ("dev", 8)):
        rows = [
            {"text": f"the text {i} is {words[i % 2]}", "label": label}
            for i in range(count)
            for label, words in WORDS.items()
        ]
        (folder / f"{split}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    options = ("--only", "moods", "--base", tiny_bert_folder, "--rows", "50")
    places = ("--data", tmp_path, "--adapters", tmp_path / "adapters")
    first, second = (
        rows_of("calibration", tmp_path / name, *options, *places) for name in ("first", "second")
    )
    assert first == second
    assert (tmp_path / "adapters" / "moods-50").is_dir()
    row, mean = first
    assert row["test_rows"] == 16
    assert 0 <= row["ece_after"] <= 1
    assert mean["ece_before"] == row["ece_before"]


def test_what_is_answered_at_a_risk_and_what_of_it_is_wrong() -> None:
    seen = Confidences(np.array([0.95, 0.92, 0.6, 0.5]), np.array([True, False, True, False]))
    assert dict(calibration.abstaining(CONFIG, seen, 0.1)) == {
        "answered@0.1": 0.5,
        "wrong@0.1": 0.5,
    }
    unknown = dict(calibration.abstaining(CONFIG, seen, 0.05))
    assert unknown == {"answered@0.05": 0.0, "wrong@0.05": None}


def test_a_temperature_that_helps_shows() -> None:
    logits = [np.array([0.0, 4.0])] * 10
    answered = Answered(CONFIG, logits, ["yes"] * 7 + ["no"] * 3)
    sure = expected_calibration_error(answered.seen())
    less = expected_calibration_error(answered.seen(temperature=4 / np.log(7 / 3)))
    assert sure == pytest.approx(1 / (1 + np.exp(-4)) - 0.7)
    assert less == pytest.approx(0)


def test_chance_shrinks_with_rows() -> None:
    few, many = (
        calibration.chance(Confidences(np.full(n, 0.8), np.full(n, True))) for n in (50, 5000)
    )
    assert few > 5 * many > 0
