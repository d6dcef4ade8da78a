"""SK-prefix with its defaults, and with one of them changed at a time.

The runs are those of `method.py`: the same loop, rows and caps, kept in a cache by their settings.
Scores are of held-out rows, since defaults are chosen by them. Where the default is then more than
a point behind on test rows, both are trained again as the product trains: until it gets no better,
with the best evaluation's state kept. Needs the development tools.
"""

import argparse
import sys

from contest.ablation import LOSS, SHOTS, Ablation, as_rows, product_rows, tuned_rows
from contest.bases import NAMES
from contest.cache import Cache
from contest.children import Children, fill
from contest.options import add_run_options, say
from contest.run import Outcome, Run
from contest.variants import VARIANTS
from report import report, write

DEFAULT = Ablation()


def main(arguments: list[str]) -> int:
    """Run what is missing, and report all that there is."""
    options = _parser().parse_args(arguments)
    cache = Cache[Run, Outcome](options.cache, Outcome.from_json)
    wanted = Ablation(
        base=options.base,
        many=options.only,
        tuned=options.tuned,
        few=options.few,
        rows=options.rows,
        epochs=options.epochs,
        held_out=options.held_out,
        seeds=options.seeds,
        few_seeds=options.few_seeds,
        dtype=options.dtype,
        variants=options.variants,
        confirm=options.confirm,
    )
    perform = Children(options.data, options.device, options.threads)
    planned, failed = list(wanted.runs()), 0
    if not options.report:
        failed += fill(cache, planned, perform, say, options.jobs)
    outcomes = cache.found(planned)
    confirming = list(wanted.confirming(outcomes))
    if not options.report:
        failed += fill(cache, confirming, perform, say, options.jobs)
    rows = as_rows(outcomes)
    report(f"SK-prefix on {options.base}, held-out rows", rows)
    outcomes += cache.found(confirming)
    tuned = tuned_rows(outcomes)
    report("defaults against tuned, test rows", tuned)
    again = list(wanted.as_product(outcomes))
    if not options.report:
        failed += fill(cache, again, perform, say, options.jobs)
    trained = product_rows(cache.found(again))
    if trained:
        report(f"trained as the product does, where the default lost {LOSS:g} point", trained)
    if options.json:
        tables = {"held-out": rows, "tuned": tuned, "as product": trained}
        named = ({"table": name} | row for name, table in tables.items() for row in table)
        write(list(named), options.json)
    return 1 if failed else 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="benchmarks/ablation.py", description=__doc__)
    add_run_options(parser)
    add = parser.add_argument
    add("--only", nargs="*", default=DEFAULT.many, metavar="NAME", help="these datasets")
    add("--tuned", nargs="*", default=DEFAULT.tuned, metavar="NAME", help="by the first variants")
    add("--few", nargs="*", default=DEFAULT.few, metavar="NAME", help=f"with {SHOTS} a label")
    add("--variants", nargs="+", choices=VARIANTS, default=(), help="these; empty: the default")
    add("--base", default=DEFAULT.base, help=f"{', '.join(NAMES)}, or a model")
    add("--rows", type=int, default=DEFAULT.rows, help="training rows at most")
    add("--epochs", type=int, default=DEFAULT.epochs, help="more of few rows")
    add("--held-out", type=int, default=DEFAULT.held_out, help="held-out rows at most")
    add("--seeds", type=int, default=DEFAULT.seeds)
    add("--few-seeds", type=int, default=DEFAULT.few_seeds)
    add("--confirm", type=int, default=DEFAULT.confirm, help="more seeds of what is preferred")
    return parser


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
