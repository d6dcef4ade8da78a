"""What was asked of the two methods, and what came out of it, over all settings of a report."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean, median
from typing import Any

from contest import rates, table
from contest.run import Outcome

_ASKED = (
    (rates.SK_PREFIX, (rates.PREFIX, rates.PROMPT, rates.PROMPT_WORDS, rates.P_TUNING, rates.LORA)),
    (rates.SK_PROMPT, (rates.PROMPT, rates.PROMPT_WORDS, rates.P_TUNING)),
)


@dataclass(frozen=True, slots=True)
class Pair:
    """A method of ours beside another one, over the settings that both have.

    Attributes:
        apart: by setting, ours less the other's, in points of the test metric, over the seeds that
            both have.
    """

    ours: str
    other: str
    apart: Mapping[str, float]

    @property
    def num_ahead(self) -> int:
        """In how many settings ours is at or above the other."""
        return sum(points >= 0 for points in self.apart.values())


def pairs(outcomes: Sequence[Outcome]) -> Iterator[Pair]:
    """Every comparison that was asked for and has a setting."""
    points: dict[str, dict[str, dict[int, float]]] = {}  # by method, setting and seed
    for outcome in outcomes:
        by_setting = points.setdefault(outcome.run.method, {})
        by_setting.setdefault(table.title(outcome), {})[outcome.run.seed] = 100 * outcome.score
    for ours, others in _ASKED:
        for other in others:
            mine, theirs = points.get(ours, {}), points.get(other, {})
            shared = [s for s in mine if s in theirs and mine[s].keys() & theirs[s].keys()]
            if apart := {s: _apart(mine[s], theirs[s]) for s in shared}:
                yield Pair(ours, other, apart)


def _apart(mine: Mapping[int, float], theirs: Mapping[int, float]) -> float:
    return fmean(mine[seed] - theirs[seed] for seed in mine.keys() & theirs.keys())


def as_rows(outcomes: Sequence[Outcome]) -> list[dict[str, Any]]:
    """A row a pair: the mean difference, the worst setting, and how many are not behind."""
    rows = []
    for pair in pairs(outcomes):
        worst = min(pair.apart, key=lambda setting: pair.apart[setting])
        rows.append(
            {
                "method": rates.ENTRANTS[pair.ours].title,
                "against": rates.ENTRANTS[pair.other].title,
                "points": round(fmean(pair.apart.values()), 2),
                "ahead": f"{pair.num_ahead} of {len(pair.apart)}",
                "worst": round(pair.apart[worst], 2),
                "where": worst,
            }
        )
    return rows


def time_ratios(outcomes: Sequence[Outcome], method: str = rates.SK_PREFIX) -> list[float]:
    """How long the method took to PREFIX_TUNING's final score, over what that one took to it.

    One number for each setting and seed in which both have a curve and the method got there. Both
    are counted to the first point of the curve that is as good, so neither pays for later ones.
    """
    theirs = {(o.run.setting, o.run.seed): o for o in outcomes if o.run.method == rates.PREFIX}
    found = []
    for outcome in (o for o in outcomes if o.run.method == method):
        other = theirs.get((outcome.run.setting, outcome.run.seed))
        if other is not None:
            ours = table.seconds_to(outcome, other.held_out_score)
            its = table.seconds_to(other, other.held_out_score)
            if ours is not None and its:
                found.append(ours / its)
    return found


def median_time_ratio(outcomes: Sequence[Outcome]) -> float | None:
    """None: no curve to compare."""
    found = time_ratios(outcomes)
    return round(median(found), 2) if found else None
