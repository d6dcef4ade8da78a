"""A job's events as a progress bar."""

import io
from typing import Any

import pytest
from rich.console import Console

from skhost.cli.follow import ending, result_table, show_progress, verdict
from skhost.client import Event


def shown(*events: dict[str, Any]) -> str:
    out = io.StringIO()
    console = Console(file=out, width=120, force_terminal=False)
    show_progress(console, iter(Event(str(i), "x", data) for i, data in enumerate(events)))
    return out.getvalue()


def test_the_bar_ends_where_the_training_stopped() -> None:
    text = shown(
        {"state": "running"},
        {"step": 10, "num_steps": 40, "loss": 0.5, "eta_s": 30.0},
        {"state": "succeeded"},
    )
    assert "succeeded" in text
    assert "10/10" in text
    assert "left" not in text


def test_messages_are_shown_as_they_are() -> None:
    assert "  no worker [yet]" in shown({"message": "no worker [yet]"})


@pytest.mark.parametrize(
    ("promoted", "expected"),
    [
        (True, "a@3 answers now (first)"),
        (False, "a@3 is a candidate: promote it with skhost adapters promote a 3 (first)"),
    ],
)
def test_the_verdict_says_what_answers(promoted: bool, expected: str) -> None:
    result = {"version": 3, "promoted": promoted, "note": "first", "metrics": {}}
    assert verdict({"name": "a", "result": result}) == expected


def test_the_table_has_the_numbers_only() -> None:
    metrics = {"accuracy": 0.5, "rows": 1200, "confusion": [[1, 0], [0, 1]], "ok": True}
    out = io.StringIO()
    job = {"name": "a", "result": {"version": 1, "metrics": metrics}}
    Console(file=out, width=80).print(result_table(job))
    assert "accuracy" in out.getvalue()
    assert "0.5000" in out.getvalue()
    assert "1,200" in out.getvalue()
    assert "confusion" not in out.getvalue()
    assert "ok" not in out.getvalue().split()


def test_an_ending_names_the_error() -> None:
    error = {"code": "base_mismatch", "message": "another base"}
    assert ending({"id": "j", "state": "failed", "error": error}) == (
        "job j failed: another base (base_mismatch)"
    )
    assert ending({"id": "j", "state": "cancelled", "error": None}) == "job j was cancelled"
