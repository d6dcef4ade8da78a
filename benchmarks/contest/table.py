"""Outcomes to the rows of the report: one a method and setting, over its seeds."""

from collections.abc import Iterator, Mapping, Sequence
from statistics import fmean, stdev
from typing import Any

from contest.bases import title_of
from contest.rates import ENTRANTS, PREFIX
from contest.run import Outcome

Setting = tuple[str, str, int | None, int | None]
_NARROW = (
    *("method", "metric", "mean", "sd", "seeds", "trainable", "seconds", "reach_s", "reached"),
    *("rows_per_s", "peak_mb", "artifact_bytes", "learning_rate"),
)
Targets = Mapping[tuple[Setting, int], float]  # by setting and seed


def as_rows(outcomes: Sequence[Outcome]) -> list[dict[str, Any]]:
    """Flat rows in the order in which settings and methods first occur."""
    targets = {
        (o.run.setting, o.run.seed): o.held_out_score for o in outcomes if o.run.method == PREFIX
    }
    return [_row(group, targets) for by_method in grouped(outcomes).values() for group in by_method]


def by_setting(outcomes: Sequence[Outcome]) -> Iterator[tuple[str, list[dict[str, Any]]]]:
    """A title and rows narrow enough for a terminal, for every setting."""
    for groups in grouped(outcomes).values():
        rows = as_rows([outcome for group in groups for outcome in group])
        yield title(groups[0][0]), [{name: row[name] for name in _NARROW} for row in rows]


def title(outcome: Outcome) -> str:
    """A setting for people."""
    run = outcome.run
    size = f"{run.shots} rows a label" if run.shots else f"{outcome.train_rows:,} rows"
    return f"{run.dataset}, {size}, {title_of(run.base)}"


def grouped(outcomes: Sequence[Outcome]) -> dict[Setting, list[list[Outcome]]]:
    """Outcomes by setting, and there by method: its seeds."""
    found: dict[Setting, dict[str, list[Outcome]]] = {}
    for outcome in outcomes:
        run = outcome.run
        found.setdefault(run.setting, {}).setdefault(run.method, []).append(outcome)
    return {setting: list(by_method.values()) for setting, by_method in found.items()}


def seconds_to(outcome: Outcome, target: float) -> float | None:
    """When the learning curve first is at `target`, warm start included; None: it never is."""
    return next((p.seconds for p in outcome.curve if p.score >= target), None)


def _row(group: Sequence[Outcome], targets: Targets) -> dict[str, Any]:
    first = group[0]
    scores = [o.score for o in group]
    seconds = fmean(o.seconds for o in group)
    return {
        "base": title_of(first.run.base),
        "dataset": first.run.dataset,
        "shots": first.run.shots,
        "rows": first.train_rows,
        "method": ENTRANTS[first.run.method].title,
        "metric": first.metric,
        "mean": round(fmean(scores), 4),
        "sd": round(stdev(scores), 4) if len(scores) > 1 else None,
        "seeds": len(scores),
        "trainable": first.trainable,
        "seconds": round(seconds, 1),
        **_reach(group, targets),
        "rows_per_s": round(fmean(o.rows_seen / o.seconds for o in group), 1) if seconds else None,
        "peak_mb": round(max(o.peak_bytes for o in group) / 1e6),
        "artifact_bytes": first.artifact_bytes,
        "learning_rate": first.run.learning_rate or None,
        "steps": first.steps,
        "held_out": round(fmean(o.held_out_score for o in group), 4),
        "warm_s": round(fmean(o.warm_s for o in group), 1),
    }


def _reach(group: Sequence[Outcome], targets: Targets) -> dict[str, Any]:
    """How long the method took to where PREFIX_TUNING ended, over the seeds where it got there."""
    keys = [(o.run.setting, o.run.seed) for o in group]
    known = [(o, targets[key]) for o, key in zip(group, keys, strict=True) if key in targets]
    times = [t for o, target in known if (t := seconds_to(o, target)) is not None]
    return {
        "reach_s": round(fmean(times), 1) if times else None,
        "reached": f"{len(times)}/{len(known)}" if known else None,
    }
