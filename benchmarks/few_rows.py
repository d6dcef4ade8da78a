"""Adapters from 8 or 16 rows a label, beside SetFit and a logistic head on the same base.

Each method has its defaults and nothing but these rows; all are judged by the same test rows, at
most 1,000 of a dataset. An adapter holds out a fifth of its rows, as it always does; the others
learn from all. SetFit (arXiv:2209.11055) trains a copy of the whole base, in a process of its own
by the Python that `--setfit` names, where it is installed beside torch. On banking77 its pairs are
undersampled: its default would draw 1.5 million of them. Every outcome is kept in the cache by its
settings and is not measured again, so the benchmark can be stopped, continued and done in parts.
"""

import argparse
import statistics
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

from contest.bases import MINILM
from contest.cache import Cache
from contest.children import fill
from contest.options import say
from few.methods import LOGISTIC, SETFIT, SETFIT_UNDERSAMPLED, SK_PREFIX, TITLES, Performer
from few.run import Outcome, Run
from report import Row, report

DATASETS = ("sst2", "trec", "ag_news", "banking77")
METHODS = (SK_PREFIX, LOGISTIC, SETFIT)
ONE_SEED = frozenset({"banking77"})  # many labels: each takes as long as three of the others
UNDERSAMPLED = frozenset({"banking77"})
CACHE = Path(__file__).with_name("results") / "few_rows"


def plan(options: argparse.Namespace) -> Iterator[Run]:
    """Every run that is asked for; a seed of all before the next seed of any."""
    for seed in range(options.seeds):
        for shots in options.shots:
            for dataset in options.only:
                for method in options.methods:
                    if seed == 0 or dataset not in ONE_SEED:
                        yield Run(options.base, dataset, _named(method, dataset), shots, seed)


def table(outcomes: Sequence[Outcome]) -> list[Row]:
    """A row for each dataset, number of rows and method; then each method's mean over datasets."""
    settings = dict.fromkeys((o.run.shots, o.run.dataset) for o in outcomes)
    rows = [
        _row(shots, dataset, method, [o for o in outcomes if _is_of(o, shots, dataset, method)])
        for shots, dataset in sorted(settings)
        for method in TITLES
        if any(_is_of(o, shots, dataset, method) for o in outcomes)
    ]
    return [*rows, *_means(rows)]


def _row(shots: int, dataset: str, method: str, found: Sequence[Outcome]) -> Row:
    scores = [outcome.score for outcome in found]
    return {
        "dataset": dataset,
        "shots": shots,
        "method": TITLES[method],
        "seeds": len(found),
        "accuracy": round(statistics.mean(scores), 4),
        "sd": round(statistics.stdev(scores), 4) if len(scores) > 1 else None,
        "cpu_s": round(statistics.median(outcome.seconds for outcome in found), 1),
        "steps": round(statistics.median(outcome.steps for outcome in found)),
        "train_rows": found[0].train_rows,
        "test_rows": found[0].test_rows,
    }


def _means(rows: Sequence[Row]) -> Iterator[Row]:
    """Over the datasets that every method has figures of, so that they can be compared."""
    for shots in dict.fromkeys(row["shots"] for row in rows):
        by_method = {
            method: {row["dataset"]: row for row in rows if _counts(row, shots, method)}
            for method in METHODS
        }
        present = {m: found for m, found in by_method.items() if found}
        shared = set.intersection(*(set(found) for found in present.values()))
        for method, found in present.items():
            if shared:
                yield {
                    "dataset": f"mean of {len(shared)}",
                    "shots": shots,
                    "method": TITLES[method],
                    "accuracy": round(statistics.mean(found[d]["accuracy"] for d in shared), 4),
                }


def _counts(row: Row, shots: int, method: str) -> bool:
    title = TITLES[_named(method, row["dataset"])]
    return bool(row["method"] == title and row["shots"] == shots)


def _is_of(outcome: Outcome, shots: int, dataset: str, method: str) -> bool:
    run = outcome.run
    return (run.shots, run.dataset, run.method) == (shots, dataset, method)


def _named(method: str, dataset: str) -> str:
    return SETFIT_UNDERSAMPLED if method == SETFIT and dataset in UNDERSAMPLED else method


def main(arguments: list[str]) -> int:
    """Run what is missing of what is asked for, and report all of it that there is."""
    parser = _parser()
    options = parser.parse_args(arguments)
    for name in options.only:
        if not (options.data / name / "test.jsonl").is_file():
            parser.error(f"no {name}/test.jsonl in {options.data}")
    runs = list(plan(options))
    cache = Cache[Run, Outcome](options.cache, Outcome.from_json)
    if again := set(options.again):
        cache.forget(run for run in runs if run.method in again)
    failed = 0
    if not options.report:
        performer = Performer(options.data, options.setfit)
        skipped = () if options.setfit else (SETFIT, SETFIT_UNDERSAMPLED)
        wanted = [run for run in runs if run.method not in skipped]
        failed = fill(cache, wanted, performer, say)
    if not (found := cache.found(runs)):
        print("no run is in the cache yet")
        return 1
    report("Few rows a label", table(found), options.json)
    return 1 if failed else 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="benchmarks/few_rows.py", description=__doc__)
    add = parser.add_argument
    add("--data", type=Path, required=True, help="folder of the datasets' folders")
    add("--cache", type=Path, default=CACHE, help="folder of the runs' outcomes")
    add("--only", nargs="+", metavar="NAME", default=DATASETS, help="these datasets")
    add("--shots", nargs="+", type=int, default=[8, 16], help="rows a label")
    add("--seeds", type=int, default=3, help="draws of the rows; banking77 has one")
    add("--methods", nargs="+", choices=METHODS, default=METHODS, help="these methods")
    add("--base", default=MINILM, help="where a base is; the packaged one by default")
    add("--setfit", metavar="PYTHON", help="has SetFit; without it only cached figures are shown")
    add("--again", nargs="+", choices=TITLES, default=(), help="methods to measure anew")
    add("--report", action="store_true", help="only make the table, of what is in the cache")
    add("--json", type=Path, metavar="FILE", help="write the rows here too")
    return parser


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
