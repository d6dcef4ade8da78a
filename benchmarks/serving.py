"""How fast classification is served, rung by rung, each beside the one that it stands on.

The ceiling is the base's matrix products alone; then the base's own forward; then the engine in
process, with up to thousands of adapters under several popularities. All of them run on the same
batches of real texts, in turn, and every ratio is of one run, batch by batch.

Three more rungs need a running server: `http`, beside the engine in process; `peers`, which serve
the same texts on the same base; and `life`, what an adapter goes through. There everyone runs for
some seconds a repeat, in turns, and every ratio is of the repeats'.
"""

import argparse
import json
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from types import ModuleType
from typing import Any

import torch
from report import report, write
from serving_rungs import (
    base,
    ceiling,
    engine,
    live,
    loads,
    over_http,
    population,
    profile,
    quality,
    table,
    timing,
)
from serving_rungs.rung import Setting

from sktuning.adapter import Adapter
from sktuning.base import FrozenBase
from sktuning.classify import Classifier

RUNGS: dict[str, ModuleType] = {"ceiling": ceiling, "base": base, "engine": engine}
PROFILE, QUALITY = "profile", "quality"
SERVED = (64, 1000)


def main(arguments: Sequence[str]) -> int:
    """Measure, report, and write what was asked for."""
    options = _parser().parse_args(arguments)
    torch.set_num_threads(options.threads)
    rows = [row for file in options.reuse for row in json.loads(file.read_text())]
    if options.rungs:
        rows += _measure(options)
    if timed := [_shown(row) for row in rows if "ms" in row]:
        report("Serving", timed)
    for rung, some in table.by_rung(rows).items():
        report(rung, some)
    if options.markdown:
        table.write_page(options.markdown, rows, options.tokens, options.threads)
    return 0


def _measure(options: argparse.Namespace) -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = []
    for row in _rows(options):
        rows.append(row)
        if options.json:  # an hour's figures are worth having though the last dataset failed
            write(rows, options.json)
    return rows


def _rows(options: argparse.Namespace) -> Iterator[dict[str, Any]]:
    if set(options.rungs) - set(live.RUNGS):
        yield from _in_process(options)
    if set(options.rungs) & set(live.RUNGS):
        for dataset in options.only:
            yield from live.measure(options, dataset, _say)


def _in_process(options: argparse.Namespace) -> Iterator[dict[str, Any]]:
    classifiers = {dtype: _classifier(options, dtype) for dtype in options.dtypes}
    adapters = {d: population.make(c, max(options.counts)) for d, c in classifiers.items()}
    for dataset in options.only:
        if QUALITY in options.rungs:
            yield from quality.compare(classifiers, options.data / dataset)
        if set(options.rungs) - {QUALITY, *live.RUNGS}:
            yield from _speed(options, _settings(options, dataset, classifiers, adapters))


def _settings(
    options: argparse.Namespace,
    dataset: str,
    classifiers: Mapping[str, Classifier],
    adapters: Mapping[str, Sequence[Adapter]],
) -> list[Setting]:
    settings = []
    for dtype, classifier in classifiers.items():
        few = adapters[dtype][0]
        folder, repeats = options.data / dataset, options.repeats
        batches = loads.batches(classifier, few, folder, options.tokens, repeats)
        drawn = list(loads.loads(options.counts, max(map(len, batches))))
        settings.append(Setting(dataset, dtype, classifier, adapters[dtype], batches, drawn))
    return settings


def _speed(options: argparse.Namespace, settings: Sequence[Setting]) -> list[dict[str, Any]]:
    rungs = [module for name, module in RUNGS.items() if name in options.rungs]
    rows = timing.measure(settings, rungs, _say) if rungs else []
    if PROFILE in options.rungs:
        rows += [row for setting in settings for row in profile.shares(setting)]
    return rows


def _classifier(options: argparse.Namespace, dtype: str) -> Classifier:
    base = FrozenBase.load(options.base, device=options.device, dtype=dtype)
    base.prepare_to_serve(dtype)
    return Classifier(base)


def _shown(row: dict[str, Any]) -> dict[str, Any]:
    """What fits on a screen."""
    return {name: row[name] for name in table.COLUMNS if name in row}


def _say(line: str) -> None:
    print(line, file=sys.stderr, flush=True)


def _parser() -> argparse.ArgumentParser:
    names = [*RUNGS, PROFILE, QUALITY, *live.RUNGS]
    parser = argparse.ArgumentParser(prog="benchmarks/serving.py", description=__doc__)
    add = parser.add_argument
    add("--data", type=Path, required=True, help="folder of the datasets' folders")
    add("--only", nargs="+", default=loads.DATASETS, metavar="NAME", help="these datasets")
    add("--rungs", nargs="*", default=[*RUNGS, PROFILE], choices=names)
    add("--base", help="base model; the packaged one by default")
    add("--device", default="auto", help="auto, cpu, cuda")
    add("--dtypes", nargs="+", default=["float32", "bfloat16"], help="bases side by side")
    add("--counts", nargs="+", type=int, default=loads.COUNTS, help="numbers of adapters")
    add("--tokens", type=int, default=1024, help="of text in a batch, at most")
    add("--repeats", type=int, default=5, help="batches that everything runs on, or turns")
    add("--threads", type=int, default=1, help="of torch; with one, the processor's time is taken")
    add("--served", nargs="+", type=int, default=SERVED, help="numbers of adapters on a server")
    add("--seconds", type=float, default=6.0, help="of a turn, with a server")
    add("--offered", nargs="+", type=float, default=over_http.SHARES, help="shares of saturation")
    add("--overload-s", type=float, default=60.0, help="of three times saturation")
    add("--processes", type=int, default=8, help="of the peer with one for each adapter")
    add("--infinity", type=Path, metavar="PYTHON", help="of an environment with infinity-emb")
    add("--reuse", nargs="+", type=Path, default=[], metavar="FILE", help="rows measured before")
    add("--json", type=Path, metavar="FILE", help="write the rows here too")
    add("--markdown", type=Path, metavar="FILE", help="write a page, with pictures beside it")
    return parser


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
