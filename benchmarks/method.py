"""SK-Tuning beside PEFT's methods, a logistic head and full fine-tuning, under the same conditions.

First every method chooses one of three learning rates on trec; then all of them train on every
dataset with the same head, rows, batches, epochs and schedule. Each run has a process of its own
and is kept in the cache by its settings: what is there is not run again, so the contest can be
stopped, continued and done in parts. Needs the development tools.
"""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from contest import document, search, table, verdict
from contest.ablation import Ablation
from contest.bases import NAMES
from contest.cache import Cache
from contest.children import Children, fill
from contest.options import add_run_options, say
from contest.plan import Choice, Rates, customary, runs, search_base, trials
from contest.rates import ENTRANTS
from contest.run import Outcome, Run
from report import report, write


def main(arguments: list[str]) -> int:
    """Run what is missing of what is asked for, and report all of it that there is."""
    parser = _parser()
    options = parser.parse_args(arguments)
    found = sorted(path.parent.name for path in options.data.glob("*/test.jsonl"))
    contest = _Contest(options, found)
    if missing := contest.datasets - set(found):
        parser.error(f"no test.jsonl in {options.data} for {', '.join(sorted(missing))}")
    if options.plan:
        contest.show()
        return 0
    failed = 0 if options.report else contest.run()
    contest.report()
    return 1 if failed else 0


class _Contest:
    def __init__(self, options: argparse.Namespace, datasets: Sequence[str]) -> None:
        self._options = options
        self._cache = Cache[Run, Outcome](options.cache, Outcome.from_json)
        self._datasets = datasets if options.full else None
        self._choice = Choice(
            tuple(options.bases),
            tuple(options.only) if options.only else None,
            tuple(options.methods) if options.methods else None,
            options.rows,
            options.epochs,
            options.seeds,
            options.dtype,
        )
        self._trials = [] if options.untuned else list(trials(self._choice))

    @property
    def datasets(self) -> set[str]:
        """All that is asked for."""
        planned = [*self._trials, *self._runs(self._customary())]
        return {*(self._choice.datasets or ()), *(run.dataset for run in planned)}

    def show(self) -> None:
        """Every run, and whether it is in the cache."""
        rates = {**self._customary(), **self._rates()}
        for kind, planned in (("trial", self._trials), ("run", self._runs(rates))):
            missing = set(self._cache.missing(planned))
            for run in planned:
                print(f"{'missing' if run in missing else 'cached '}  {kind:5}  {run}")
            print(f"{len(planned) - len(missing)} of {len(planned)} {kind}s are cached")
        if not self._options.untuned and self._cache.missing(self._trials):
            print("trials are missing: the rates of the runs may be others")

    def run(self) -> int:
        """Trials first, then with their rates the contest; how many failed."""
        options = self._options
        perform = Children(options.data, options.device, options.threads)
        failed = fill(self._cache, self._trials, perform, say, options.jobs)
        return failed + fill(self._cache, self._runs(self._rates()), perform, say, options.jobs)

    def report(self) -> None:
        """Search and contest as tables, and to the files that were named."""
        options = self._options
        tried = self._cache.found(self._trials)
        outcomes = self._cache.found(self._runs(self._rates()))
        found = search.collect(tried)
        if found:
            report("Learning rates", search.as_rows(found))
        if not outcomes:
            print("no run of the contest is in the cache yet")
            return
        for title, rows in table.by_setting(outcomes):
            report(title, rows)
        report("Beside each other", verdict.as_rows(outcomes))
        print(f"median time to PREFIX_TUNING's score: {verdict.median_time_ratio(outcomes)}")
        if options.json:
            write(table.as_rows(outcomes), options.json)
        if options.markdown:
            ablated = self._cache.found(Ablation().runs())
            ablated += self._cache.found(Ablation().confirming(ablated))
            ablated += self._cache.found(Ablation().as_product(ablated))
            document.write(options.markdown, outcomes, found, tried, ablated)

    def _rates(self) -> Rates:
        if self._options.untuned:
            return self._customary()
        return search.choose(search.collect(self._cache.found(self._trials)), self._choice.bases)

    def _customary(self) -> dict[tuple[str, str], float]:
        bases = {search_base(base) for base in self._choice.bases}
        return {(base, method): rate for base in bases for method, rate in customary().items()}

    def _runs(self, rates: Rates) -> list[Run]:
        return list(runs(self._choice, rates, self._datasets))


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="benchmarks/method.py", description=__doc__)
    add_run_options(parser)
    add = parser.add_argument
    add("--only", nargs="+", metavar="NAME", help="these datasets")
    add("--methods", nargs="+", choices=ENTRANTS, help="these methods")
    add("--bases", nargs="+", default=NAMES, metavar="BASE", help=f"{', '.join(NAMES)}, or a model")
    add("--plan", action="store_true", help="list the runs and do nothing")
    add("--full", action="store_true", help="all datasets and all rows; wants a GPU")
    add("--untuned", action="store_true", help="no trials: every method's customary rate")
    add("--rows", type=int, help="training rows at most, instead of the plan's")
    add("--epochs", type=int, help="instead of the plan's")
    add("--seeds", type=int, help="at most, of every dataset")
    add("--markdown", type=Path, metavar="FILE", help="write a page, with pictures beside it")
    return parser


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
