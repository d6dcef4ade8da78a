"""SK-prefix with one of its defaults changed at a time: the runs, and what they found."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from statistics import fmean
from typing import Any

from contest.bases import MINILM
from contest.rates import ENTRANTS, SK_PREFIX
from contest.run import Outcome, Run
from contest.variants import TUNED, VARIANTS
from sktuning.config import FEW_STEPS

SHOTS = 16
LOSS = 1.0  # points of a dataset's test metric by which defaults may miss the best tuned run


@dataclass(frozen=True, slots=True)
class Ablation:
    """What of the runs is wanted.

    Attributes:
        many: datasets to train on `rows` rows of, with `seeds` seeds.
        tuned: datasets to train on as many rows of, but with the variants of `TUNED` only.
        few: datasets to train on `SHOTS` rows a label of, with `few_seeds` seeds.
        epochs: more of few rows.
        held_out: rows that judge, at most.
        variants: names of `contest.variants`; none: all.
        confirm: more seeds of the variant that a dataset prefers, and of the default.
    """

    base: str = MINILM
    many: Sequence[str] = ("trec", "sst2", "stsb")
    tuned: Sequence[str] = ("banking77", "mrpc", "wnut17")
    few: Sequence[str] = ("trec",)
    rows: int = 2000
    epochs: int = 3
    held_out: int = 500
    seeds: int = 1
    few_seeds: int = 2
    dtype: str = "bfloat16"
    variants: Sequence[str] = ()
    confirm: int = 2

    def runs(self) -> Iterator[Run]:
        """Every run of a variant before the next variant's."""
        many = [(name, {"rows": self.rows}, self.seeds) for name in self.many]
        tuned = [(name, {"rows": self.rows}, self.seeds) for name in self.tuned]
        size: dict[str, Any] = {"rows": None, "shots": SHOTS, "min_steps": FEW_STEPS}
        few = [(name, size, self.few_seeds) for name in self.few]
        for variant in self.variants or VARIANTS:
            rate = VARIANTS[variant].rate or ENTRANTS[SK_PREFIX].customary
            for dataset, given, seeds in (*many, *(tuned if variant in TUNED else ()), *few):
                for seed in range(seeds):
                    yield Run(
                        self.base,
                        dataset,
                        SK_PREFIX,
                        rate,
                        epochs=self.epochs,
                        seed=seed,
                        held_out=self.held_out,
                        points=1,
                        dtype=self.dtype,
                        variant=variant,
                        **given,
                    )

    def confirming(self, outcomes: Sequence[Outcome]) -> Iterator[Run]:
        """What tells a better variant from the luckiest of them, given what `runs` found."""
        for of_it in _by_setting(o for o in outcomes if not o.run.shots).values():
            best = _preferred(of_it)
            found = {outcome.run.variant: outcome.run for outcome in of_it}
            for variant in ("", best) if best and "" in found else ():
                for seed in range(self.seeds, self.seeds + self.confirm):
                    yield replace(found[variant], seed=seed)

    def as_product(self, outcomes: Sequence[Outcome]) -> Iterator[Run]:
        """Default and preferred variant as the product trains, where the default lost a point.

        Args:
            outcomes: what `runs` and `confirming` found.
        """
        lost = {row["dataset"] for row in tuned_rows(outcomes) if row["default less it"] < -LOSS}
        for dataset, of_it in _by_setting(o for o in outcomes if not o.run.shots).items():
            best = _preferred(of_it)
            if dataset in lost and VARIANTS[best].is_setting:
                found = {outcome.run.variant: outcome.run for outcome in of_it}
                for seed in range(self.seeds + self.confirm):
                    for variant in ("", best):
                        yield replace(found[variant], seed=seed, as_product=True)


def as_rows(outcomes: Sequence[Outcome]) -> list[dict[str, Any]]:
    """A row a variant: the mean score of each setting in points, and its distance to the default's.

    A setting's seeds are averaged; the mean distance is over the settings that the variant has.
    """
    scores: dict[str, dict[str, list[float]]] = {}
    for setting, of_it in _by_setting(outcomes).items():
        for outcome in _alike(of_it):
            by_setting = scores.setdefault(outcome.run.variant, {})
            by_setting.setdefault(setting, []).append(100 * outcome.held_out_score)
    means = {v: {s: fmean(x) for s, x in found.items()} for v, found in scores.items()}
    default = means.get("", {})
    rows = []
    for variant, found in means.items():
        apart = [found[setting] - default[setting] for setting in found if setting in default]
        distance = round(fmean(apart), 2) if apart else None
        shown = {s: round(found[s], 1) if s in found else None for s in default}
        rows.append({"variant": variant or "default", "to default": distance, **shown})
    return rows


def tuned_rows(outcomes: Sequence[Outcome]) -> list[dict[str, Any]]:
    """A row a dataset: the default beside the variant that its held-out rows prefer, by test rows.

    Scores in points, the means of the seeds that both have. Few rows a label are left out.
    """
    rows = []
    for dataset, of_it in _by_setting(o for o in outcomes if not o.run.shots).items():
        best, count = _preferred(of_it), len({o.run.variant for o in of_it})
        if scores := _beside(of_it, best):
            preferred = {"variants": count, "best of held-out rows": best or "default"}
            rows.append({"dataset": dataset, **preferred, **scores})
    return rows


def product_rows(outcomes: Sequence[Outcome]) -> list[dict[str, Any]]:
    """A row a dataset of `Ablation.as_product`'s runs: the default beside the one variant."""
    rows = []
    for dataset, of_it in _by_setting(outcomes).items():
        variant = max(outcome.run.variant for outcome in of_it)
        if scores := _beside(of_it, variant):
            rows.append({"dataset": dataset, "variant": variant, **scores})
    return rows


def _beside(outcomes: Sequence[Outcome], variant: str) -> dict[str, Any]:
    """The default's test rows and the variant's; nothing where no seed has both."""
    test = {(o.run.variant, o.run.seed): 100 * o.score for o in outcomes}
    seeds = {seed for _, seed in test if {("", seed), (variant, seed)} <= test.keys()}
    if not seeds:
        return {}
    default, its = (fmean(test[v, seed] for seed in seeds) for v in ("", variant))
    return {
        "seeds": len(seeds),
        "default": round(default, 1),
        "its test": round(its, 1),
        "default less it": round(default - its, 1),
    }


def _by_setting(outcomes: Iterable[Outcome]) -> dict[str, list[Outcome]]:
    found: dict[str, list[Outcome]] = {}
    for outcome in outcomes:
        few = f" {outcome.run.shots}/label" if outcome.run.shots else ""
        found.setdefault(outcome.run.dataset + few, []).append(outcome)
    return found


def _alike(outcomes: Sequence[Outcome]) -> list[Outcome]:
    """Those of seeds that every variant among them has."""
    seeds: dict[str, set[int]] = {}
    for outcome in outcomes:
        seeds.setdefault(outcome.run.variant, set()).add(outcome.run.seed)
    shared = set.intersection(*seeds.values())
    return [outcome for outcome in outcomes if outcome.run.seed in shared]


def _preferred(outcomes: Sequence[Outcome]) -> str:
    scores: dict[str, list[float]] = {}
    for outcome in _alike(outcomes):
        scores.setdefault(outcome.run.variant, []).append(outcome.held_out_score)
    return max(scores, key=lambda variant: fmean(scores[variant]), default="")
