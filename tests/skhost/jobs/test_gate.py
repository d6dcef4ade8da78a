from collections.abc import Sequence
from math import nan

import pytest

from skhost.jobs.gate import MIN_ROWS, Contender, Live, judge
from skhost.jobs.request import Gate
from skhost.jobs.rows import RowSet
from sktuning.config import AdapterConfig, BaseIdentity, Task
from sktuning.data import Example, TextInput

BASE = BaseIdentity("tiny", "sha256:00")
NO_ROWS = RowSet.of(())


def _examples(count: int, label: str = "a", prefix: str = "held out") -> list[Example]:
    return [Example(TextInput(f"{prefix} {i} {label}"), label) for i in range(count)]


def _config(*labels: str, task: Task = Task.SINGLE_LABEL) -> AdapterConfig:
    return AdapterConfig(task, labels, BASE)


def _contender(held_out: Sequence[Example], *labels: str, rows: RowSet = NO_ROWS) -> Contender:
    return Contender(_config(*(labels or ("a", "b"))), rows, held_out, "accuracy")


class Scores:
    """Answers with two scores and remembers which rows it was asked about."""

    def __init__(self, new: float, live: float) -> None:
        self.rows: Sequence[Example] | None = None
        self._scores = new, live

    def __call__(self, rows: Sequence[Example]) -> tuple[float, float]:
        self.rows = rows
        return self._scores


@pytest.mark.parametrize(
    ("new", "live", "promotes"),
    [(0.9, 0.8, True), (0.8, 0.8, True), (0.8, 0.8001, False), (nan, 0.1, False)],
)
def test_the_alias_moves_only_to_what_is_not_worse(new: float, live: float, promotes: bool) -> None:
    rows = _examples(30)
    scores = Scores(new, live)
    current = Live(3, _config("a", "b"), RowSet.of(_examples(9, prefix="training")))
    verdict = judge(Gate.NOT_WORSE, _contender(rows), current, scores)
    assert verdict.promote is promotes
    assert scores.rows == rows
    assert f"accuracy {new:.4f} against {live:.4f} of version 3, on 30 held-out" in verdict.note
    assert verdict.figures["live_version"] == 3


def test_rows_that_the_live_version_was_trained_on_do_not_decide() -> None:
    rows = _examples(60)
    scores = Scores(0.7, 0.6)
    verdict = judge(
        Gate.NOT_WORSE, _contender(rows), Live(1, _config("a", "b"), RowSet.of(rows[:35])), scores
    )
    assert scores.rows == rows[35:]
    assert verdict.promote
    assert "without 35 that one of them was trained on" in verdict.note


def test_rows_of_the_new_versions_own_training_do_not_decide() -> None:
    rows = _examples(40)
    scores = Scores(0.7, 0.6)
    contender = _contender(rows, rows=RowSet.of(rows[:5]))
    judge(Gate.NOT_WORSE, contender, Live(1, _config("a", "b"), NO_ROWS), scores)
    assert scores.rows == rows[5:]


def test_with_too_few_unseen_rows_the_new_version_stays_a_candidate() -> None:
    rows = _examples(40)
    scores = Scores(1.0, 0.0)
    live = Live(1, _config("a", "b"), RowSet.of(rows[: 40 - MIN_ROWS + 1]))
    verdict = judge(Gate.NOT_WORSE, _contender(rows), live, scores)
    assert not verdict.promote
    assert scores.rows is None
    assert "only 19 of 40 held-out rows can decide" in verdict.note


def test_a_small_split_that_is_whole_decides() -> None:
    rows = _examples(6)
    verdict = judge(
        Gate.NOT_WORSE, _contender(rows), Live(1, _config("a", "b"), NO_ROWS), Scores(0.9, 0.8)
    )
    assert verdict.promote
    nothing = judge(Gate.NOT_WORSE, _contender([]), Live(1, _config("a", "b")), Scores(1.0, 0.0))
    assert not nothing.promote


def test_when_labels_changed_the_rows_that_both_know_decide() -> None:
    rows = _examples(25, "a") + _examples(25, "new")
    scores = Scores(0.9, 0.9)
    live = Live(1, _config("a", "b"), NO_ROWS)
    verdict = judge(Gate.NOT_WORSE, _contender(rows, "a", "b", "new"), live, scores)
    assert scores.rows == rows[:25]
    assert verdict.promote
    assert "25 with labels that only one of them knows" in verdict.note


def test_an_imported_live_version_is_compared_on_all_rows() -> None:
    rows = _examples(30)
    scores = Scores(0.9, 0.8)
    verdict = judge(Gate.NOT_WORSE, _contender(rows), Live(1, _config("a", "b"), None), scores)
    assert verdict.promote
    assert scores.rows == rows


@pytest.mark.parametrize(
    ("gate", "live", "promotes", "word"),
    [
        (Gate.NOT_WORSE, None, True, "nothing answered"),
        (Gate.ALWAYS, Live(2), True, "gate=always"),
        (Gate.NEVER, Live(2), False, "gate=never"),
        (Gate.NEVER, None, False, "gate=never"),
        (Gate.NOT_WORSE, Live(2, trouble="its artifact is broken"), False, "is broken"),
        (Gate.NOT_WORSE, Live(2, _config(task=Task.REGRESSION)), False, "cannot be compared"),
    ],
)
def test_what_needs_no_scores(gate: Gate, live: Live | None, promotes: bool, word: str) -> None:
    scores = Scores(1.0, 0.0)
    verdict = judge(gate, _contender(_examples(30)), live, scores)
    assert verdict.promote is promotes
    assert word in verdict.note
    assert scores.rows is None
