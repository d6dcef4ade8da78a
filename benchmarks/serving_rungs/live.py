"""The rungs that need a running server: over HTTP, beside peers, and through an adapter's life."""

import argparse
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

from local_service import running

from serving_rungs import fleet, life, over_http, turns
from serving_rungs.over_http import Target
from serving_rungs.peers import infinity, peft_lora, peft_prefix, plain, processes
from serving_rungs.peers.stock import Place
from serving_rungs.turns import Contender, Row
from serving_rungs.workload import Workload
from sktuning.adapter import Adapter
from sktuning.base import FrozenBase
from sktuning.classify import Classifier

HTTP, PEERS, LIFE = "http", "peers", "life"
RUNGS = (HTTP, PEERS, LIFE)
PUBLISHED = 6

Say = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class Stage:
    """What all rungs of one dataset and one number of adapters share."""

    options: argparse.Namespace
    work: Workload
    classifier: Classifier
    adapters: Sequence[Adapter]
    home: Path
    say: Say

    @property
    def dtype(self) -> str:
        """Of the server's base."""
        return str(self.options.dtypes[-1])

    @property
    def settings(self) -> Mapping[str, str]:
        """The server's; all others are its own."""
        options = self.options
        base = {} if options.base is None else {"SKHOST_BASE": options.base}
        return {"SKHOST_THREADS": str(options.threads), "SKHOST_DTYPE": self.dtype, **base}


def measure(options: argparse.Namespace, dataset: str, say: Say) -> Iterator[Row]:
    """The rows of a dataset, for each number of adapters."""
    for count in options.served:
        work = Workload.read(options.data / dataset, count)
        with tempfile.TemporaryDirectory(prefix="skhost-bench-") as folder:
            say(f"{dataset}: {count} adapters are made")
            base = FrozenBase.load(options.base, device="cpu", dtype=options.dtypes[-1])
            base.prepare_to_serve(options.dtypes[-1])
            classifier = Classifier(base)
            adapters = fleet.make(classifier, count, Path(folder))
            stage = Stage(options, work, classifier, adapters, Path(folder), say)
            common = {"dataset": dataset, "adapters": count, "threads": options.threads}
            for row in _rows(stage):
                yield {**common, "dtype": stage.dtype, **row}


def _rows(stage: Stage) -> Iterator[Row]:
    rungs = stage.options.rungs
    if HTTP in rungs or PEERS in rungs:
        yield from _served(stage, is_beside_peers=PEERS in rungs, is_open=HTTP in rungs)
    if LIFE in rungs:
        yield from _life(stage)


def _served(stage: Stage, *, is_beside_peers: bool, is_open: bool) -> Iterator[Row]:
    options, work, classifier = stage.options, stage.work, stage.classifier
    with ExitStack() as stack:
        service = running("serve", data_dir=stage.home, settings=stage.settings)
        server = stack.enter_context(service)
        target = Target(server.url, server.pid, work, options.seconds, options.offered)
        target.warm()
        engine = over_http.engine(classifier, stage.adapters, work, options.tokens, options.seconds)
        alone = over_http.alone(classifier, stage.adapters, work)
        single, batch = over_http.closed(target)
        ours = [single, batch, *(over_http.opened(target, single) if is_open else ())]
        others = _peers(stage, stack) if is_beside_peers else []
        turns.take([engine, alone, *ours, *others], options.repeats, stage.say)
        yield turns.row(engine)
        yield turns.row(alone)
        for each in ours:
            yield {**turns.row(each), **over_http.ratios(each, engine, alone)}
        for peer in others:
            ours_like_it = batch if peer.fields.get("texts") == over_http.BATCH_ROWS else single
            yield {**turns.row(peer), **_beside(peer, engine, ours_like_it)}
        if is_open:
            stage.say(f"{work.dataset}: overload and flood")
            yield over_http.overload(target, options.overload_s)
            yield over_http.flood(target, options.repeats)


def _peers(stage: Stage, stack: ExitStack) -> list[Contender]:
    """All of them; those in process in the server's dtype and in float32."""
    options = stage.options
    found: list[Contender] = []
    for dtype in dict.fromkeys(("float32", stage.dtype)):
        place = Place(options.base, dtype, stage.work, options.seconds)
        for module in (peft_prefix, peft_lora, plain):
            stage.say(f"{module.__name__}, {dtype}")
            found += module.contenders(place)
        apart = processes.contender(place, options.processes)
        found.append(stack.enter_context(apart))
        if options.infinity is not None:
            started = infinity.contenders(place, options.infinity, options.threads)
            found += stack.enter_context(started)
    return found


def _beside(peer: Contender, engine: Contender, served: Contender) -> Row:
    """Ours over theirs: in process beside in process, HTTP beside HTTP."""
    ours = served if "clients" in peer.fields else engine
    return {
        "ours_to_it": turns.ratio(ours, peer),
        "ours_to_it_cpu": turns.ratio(ours, peer, "rows_per_cpu_s"),
    }


def _life(stage: Stage) -> Iterator[Row]:
    options, home, work, settings = stage.options, stage.home, stage.work, stage.settings
    stage.say(f"{work.dataset}: an adapter's life")
    with running("serve", data_dir=home, settings=settings) as server:
        Target(server.url, server.pid, work, options.seconds).warm()  # all have proved themselves
    yield life.cold(settings, home, work)
    some = stage.adapters[: PUBLISHED + 1]
    yield life.published(settings, home, stage.classifier, some)
    yield life.crowded(settings, home, work, options.seconds, options.repeats)
    data = options.data / work.dataset / "train.jsonl"
    yield life.beside_training(settings, home, work, data, options.seconds)
