"""SK-prefix with one of its defaults changed at a time: the runs, and what they found."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from statistics import fmean
from typing import Any

from contest.bases import MINILM
from contest.rates import ENTRANTS, SK_PREFIX
from contest.run import Outcome, Run
from contest.variants import VARIANTS
from sktuning.config import FEW_STEPS

SHOTS = 16


@dataclass(frozen=True, slots=True)
class Ablation:
    """What of the runs is wanted.

    Attributes:
        many: datasets to train on `rows` rows of, with `seeds` seeds.
        few: datasets to train on `SHOTS` rows a label of, with `few_seeds` seeds.
        epochs: more of few rows.
        held_out: rows that judge, at most.
        variants: names of `contest.variants`; none: all.
    """

    base: str = MINILM
    many: Sequence[str] = ("trec", "sst2", "stsb")
    few: Sequence[str] = ("trec", "sst2")
    rows: int = 2000
    epochs: int = 3
    held_out: int = 500
    seeds: int = 1
    few_seeds: int = 2
    dtype: str = "bfloat16"
    variants: Sequence[str] = ()

    def runs(self) -> Iterator[Run]:
        """Every run of a variant before the next variant's."""
        many = [(name, {"rows": self.rows}, self.seeds) for name in self.many]
        size: dict[str, Any] = {"rows": None, "shots": SHOTS, "min_steps": FEW_STEPS}
        few = [(name, size, self.few_seeds) for name in self.few]
        for variant in self.variants or VARIANTS:
            rate = VARIANTS[variant].rate or ENTRANTS[SK_PREFIX].customary
            for dataset, given, seeds in (*many, *few):
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


def as_rows(outcomes: Sequence[Outcome]) -> list[dict[str, Any]]:
    """A row a variant: the mean score of each setting in points, and its distance to the default's.

    A setting's seeds are averaged; the mean distance is over the settings that the variant has.
    """
    scores: dict[str, dict[str, list[float]]] = {}
    for outcome in outcomes:
        run = outcome.run
        few = f" {run.shots}/label" if run.shots else ""
        by_setting = scores.setdefault(run.variant, {})
        by_setting.setdefault(run.dataset + few, []).append(100 * outcome.held_out_score)
    means = {v: {s: fmean(x) for s, x in found.items()} for v, found in scores.items()}
    default = means.get("", {})
    rows = []
    for variant, found in means.items():
        apart = [found[setting] - default[setting] for setting in found if setting in default]
        distance = round(fmean(apart), 2) if apart else None
        shown = {s: round(found[s], 1) if s in found else None for s in default}
        rows.append({"variant": variant or "default", "to default": distance, **shown})
    return rows
