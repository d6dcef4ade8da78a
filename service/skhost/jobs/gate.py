"""Whether a new version becomes the one that answers: judged against the live one, on fair rows.

Policy only: what is scored, and what follows from the scores. Scoring itself is passed in.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Final

from skhost.jobs.request import Gate
from skhost.jobs.rows import RowSet
from sktuning.config import AdapterConfig, Task
from sktuning.data import Example

MIN_ROWS: Final = 20  # of a held-out split that had to be cut; fewer say too little


@dataclass(frozen=True, slots=True)
class Live:
    """The version that answers now.

    Attributes:
        rows: what it was trained on; None if nobody knows, as for an imported one.
        trouble: why it cannot be scored at all, if so.
    """

    version: int
    config: AdapterConfig | None = None
    rows: RowSet | None = None
    trouble: str | None = None


@dataclass(frozen=True, slots=True)
class Verdict:
    """What the gate says. `note` is a sentence for people, with the figures it rests on."""

    promote: bool
    note: str
    figures: dict[str, Any]


@dataclass(frozen=True, slots=True)
class Contender:
    """The new version: what it is, what it was trained on, and the rows held out from it."""

    config: AdapterConfig
    rows: RowSet
    held_out: Sequence[Example]
    metric: str  # the task's main metric


# Scores both versions on the same rows: (new, live).
Score = Callable[[Sequence[Example]], tuple[float, float]]


def judge(gate: Gate, new: Contender, live: Live | None, score: Score) -> Verdict:
    """Decide about a new version.

    Args:
        live: what it would replace; None if nothing answers under this name yet.
        score: called once at most, with the rows that decide.
    """
    if gate is Gate.NEVER:
        return Verdict(False, "a candidate, as the request asked (gate=never)", {})
    if live is None:
        return Verdict(True, "promoted: nothing answered under this name before", {})
    if gate is Gate.ALWAYS:
        return Verdict(True, f"promoted over version {live.version} (gate=always)", {})
    obstacle = _obstacle(new, live)
    if obstacle is not None:
        return Verdict(
            False, f"a candidate: {obstacle}; promote it by hand if it should answer", {}
        )
    return _compared(new, live, score)


def fair_rows(new: Contender, live: Live) -> tuple[list[Example], str]:
    """The held-out rows that both can be judged by, and what was left out, in words."""
    rows = [e for e in new.held_out if _both_know(e, new, live)]
    unknown = len(new.held_out) - len(rows)
    seen = live.rows
    unseen = [
        e for e in rows if not new.rows.may_hold(e) and (seen is None or not seen.may_hold(e))
    ]
    left_out = []
    if unknown:
        left_out.append(f"{unknown} with labels that only one of them knows")
    if len(unseen) < len(rows):
        left_out.append(f"{len(rows) - len(unseen)} that one of them was trained on")
    return unseen, " and ".join(left_out)


def _compared(new: Contender, live: Live, score: Score) -> Verdict:
    rows, left_out = fair_rows(new, live)
    without = f" (without {left_out})" if left_out else ""
    if not rows or (left_out and len(rows) < MIN_ROWS):
        return Verdict(
            False,
            f"a candidate: only {len(rows)} of {len(new.held_out)} held-out rows can decide "
            f"between it and version {live.version}{without}, and {MIN_ROWS} are needed; promote "
            "it by hand if it should answer",
            {"num_rows": len(rows), "live_version": live.version},
        )
    ours, theirs = score(rows)
    figures = {
        "metric": new.metric,
        "score": ours,
        "live_score": theirs,
        "live_version": live.version,
        "num_rows": len(rows),
    }
    seen = f"{new.metric} {ours:.4f} against {theirs:.4f} of version {live.version}"
    where = f"on {len(rows)} held-out rows{without}"
    if ours >= theirs:  # NaN is never as good
        return Verdict(True, f"promoted: {seen}, {where}", figures)
    return Verdict(False, f"a candidate: {seen}, {where}; promote it by hand if wanted", figures)


def _obstacle(new: Contender, live: Live) -> str | None:
    if live.trouble is not None:
        return f"version {live.version} cannot be scored ({live.trouble})"
    if live.config is not None and live.config.task is not new.config.task:
        return (
            f"version {live.version} answers {live.config.task}, this one {new.config.task}; "
            "that cannot be compared"
        )
    return None


def _both_know(example: Example, new: Contender, live: Live) -> bool:
    """Whether the right answer is one that both versions can give."""
    if live.config is None or new.config.task is Task.REGRESSION:
        return True
    known = set(new.config.labels) & set(live.config.labels)
    target = example.target
    wanted = target if isinstance(target, tuple) else (target,)
    return known.issuperset(str(label) for label in wanted)
