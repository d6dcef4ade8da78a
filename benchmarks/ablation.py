"""SK-prefix with its defaults, and with one of them changed at a time.

The runs are those of `method.py`: the same loop, rows and caps, kept in a cache by their settings.
Scores are of held-out rows, since defaults are chosen by them. Needs the development tools.
"""

import argparse
import sys
from collections.abc import Iterator, Sequence
from statistics import fmean
from typing import Any

from contest.bases import MINILM, NAMES
from contest.cache import Cache
from contest.children import Children, fill
from contest.options import add_run_options, say
from contest.rates import ENTRANTS, SK_PREFIX
from contest.run import Outcome, Run
from contest.variants import VARIANTS
from report import report, write

from sktuning.config import FEW_STEPS

_SHOTS = 16
_FEW: dict[str, Any] = {"rows": None, "shots": _SHOTS, "min_steps": FEW_STEPS}


def main(arguments: list[str]) -> int:
    """Run what is missing, and report all that there is."""
    options = _parser().parse_args(arguments)
    cache = Cache[Run, Outcome](options.cache, Outcome.from_json)
    planned = list(_runs(options))
    failed = 0
    if not options.report:
        perform = Children(options.data, options.device, options.threads)
        failed = fill(cache, planned, perform, say, options.jobs)
    outcomes = cache.found(planned)
    rows = as_rows(outcomes)
    report(f"SK-prefix on {options.base}, held-out rows", rows)
    if options.json:
        write(rows, options.json)
    return 1 if failed else 0


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


def _runs(options: argparse.Namespace) -> Iterator[Run]:
    many = [(dataset, {"rows": options.rows}, options.seeds) for dataset in options.only]
    few = [(dataset, _FEW, options.few_seeds) for dataset in options.few]
    for name in options.variants or VARIANTS:
        rate = VARIANTS[name].rate or ENTRANTS[SK_PREFIX].customary
        for dataset, size, seeds in (*many, *few):
            for seed in range(seeds):
                yield Run(
                    options.base,
                    dataset,
                    SK_PREFIX,
                    rate,
                    epochs=options.epochs,
                    seed=seed,
                    held_out=options.held_out,
                    points=1,
                    dtype=options.dtype,
                    variant=name,
                    **size,
                )


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="benchmarks/ablation.py", description=__doc__)
    add_run_options(parser)
    add = parser.add_argument
    add(
        "--only", nargs="*", default=["trec", "sst2", "stsb"], metavar="NAME", help="these datasets"
    )
    add("--few", nargs="*", default=["trec", "sst2"], metavar="NAME", help=f"with {_SHOTS} a label")
    add("--variants", nargs="+", choices=VARIANTS, help="these; the empty name is the default")
    add("--base", default=MINILM, help=f"{', '.join(NAMES)}, or a model")
    add("--rows", type=int, default=2000, help="training rows at most")
    add("--epochs", type=int, default=3, help="more of few rows")
    add("--held-out", type=int, default=500, help="held-out rows at most")
    add("--seeds", type=int, default=1)
    add("--few-seeds", type=int, default=3)
    return parser


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
