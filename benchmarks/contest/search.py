"""The learning rates, chosen by the held-out rows of the trials; never by test rows."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from contest.bases import title_of
from contest.plan import Rates, search_base
from contest.rates import ENTRANTS
from contest.run import Outcome


@dataclass(frozen=True, slots=True)
class Trial:
    """One method's three trials.

    Attributes:
        scores: of the held-out rows, by learning rate; what is missing was not run yet.
    """

    base: str
    method: str
    scores: dict[float, float]

    @property
    def is_complete(self) -> bool:
        """Whether all rates were tried."""
        return set(self.scores) == set(ENTRANTS[self.method].rates)

    @property
    def best(self) -> float:
        """The rate with the best score; the lowest of equal ones."""
        return min(self.scores, key=lambda rate: (-self.scores[rate], rate))

    @property
    def is_at_the_end(self) -> bool:
        """Whether a rate beyond the three might have been better."""
        rates = ENTRANTS[self.method].rates
        return self.best in (rates[0], rates[-1])


def collect(outcomes: Iterable[Outcome]) -> list[Trial]:
    """Trials by base and method."""
    found: dict[tuple[str, str], Trial] = {}
    for outcome in outcomes:
        run = outcome.run
        trial = found.setdefault((run.base, run.method), Trial(run.base, run.method, {}))
        trial.scores[run.learning_rate] = outcome.held_out_score
    return list(found.values())


def choose(trials: Sequence[Trial], bases: Iterable[str]) -> Rates:
    """Base and method to rate, for methods whose trials are complete or that need none."""
    chosen = {(trial.base, trial.method): trial.best for trial in trials if trial.is_complete}
    for base in bases:
        for method, entrant in ENTRANTS.items():
            if not entrant.rates:
                chosen[search_base(base), method] = 0.0
    return chosen


def as_rows(trials: Sequence[Trial]) -> list[dict[str, object]]:
    """The search as flat objects."""
    return [
        {
            "base": title_of(trial.base),
            "method": ENTRANTS[trial.method].title,
            "learning_rate": rate,
            "held_out": round(score, 4),
            "chosen": trial.is_complete and rate == trial.best,
            "at_the_end": trial.is_complete and rate == trial.best and trial.is_at_the_end,
        }
        for trial in trials
        for rate, score in sorted(trial.scores.items())
    ]
