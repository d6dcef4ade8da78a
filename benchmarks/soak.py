"""A service under load for a long time, while adapters come, change and go: does anything grow?

Poisson arrivals at a share of saturation, in windows, for a fleet of which half fits on the device.
Meanwhile new adapters are imported, answer, are promoted, rolled back and deleted, and others are
trained. After every window the memory of the server, the worker and the registry is read. The
first fifth of the windows is left out: it fills caches.
"""

import argparse
import itertools
import os
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from statistics import median

import numpy as np
from children import children_of
from local_service import RunningService, running
from report import report
from serving_rungs import fleet
from serving_rungs.http_load import Load
from serving_rungs.turns import Row, Sample, percentile_ms
from serving_rungs.workload import Workload

from skhost.client import ApiError, Client
from skhost.jobs.record import JobState
from skhost.uploads import ReadRequest, read_dataset
from sktuning.base import FrozenBase
from sktuning.classify import Classifier

FEEDBACK = Path(__file__).parent.parent / "examples" / "feedback.jsonl"
CLIENTS = 64
WARM_UP = 0.2  # of the windows
PAUSE_S = 1.0  # between one guest's life and the next
PROCESSES = ("serve", "worker", "valkey")


def main(arguments: Sequence[str]) -> int:
    """Run; 1 if a request or a change failed."""
    options = _parser().parse_args(arguments)
    settings = {"SKHOST_THREADS": str(options.threads)}
    if options.base is not None:
        settings["SKHOST_BASE"] = options.base
    with tempfile.TemporaryDirectory(prefix="skhost-soak-") as folder:
        home = Path(folder)
        work, half = _fleet(options, home)
        settings["SKHOST_DEVICE_BUDGET_BYTES"] = str(half)
        with running("up", data_dir=home, settings=settings) as service:
            rows, changes = soak(service, work, options)
    total = {"window": "all", **summary(rows), **changes}
    title = f"{len(rows)} windows of {options.window:g} s on {os.cpu_count()} processors"
    report(title, [*rows, total], options.json)
    return 1 if total["failed"] or total["changes_failed"] else 0


def soak(
    service: RunningService, work: Workload, options: argparse.Namespace
) -> tuple[list[Row], Row]:
    """The windows' figures, and what was changed meanwhile."""
    requests = work.requests(1)
    load = Load(service.url, service.pid, requests, [1] * len(requests))
    warm = work.once_each()
    Load(service.url, service.pid, warm, [1] * len(warm)).once(CLIENTS)
    saturation = load.closed(CLIENTS, options.window).rows_per_s
    print(f"saturation: {saturation:.0f} requests a second", flush=True)
    rows = []
    with _changing(service.url, options.train_every) as counts:
        for number in range(round(60 * options.minutes / options.window)):
            sample = load.open(options.share * saturation, options.window, seed=number)
            rows.append({"window": number + 1, **_window(sample), **_memory_mb(service.pid)})
            print(rows[-1], flush=True)
    return rows, {**counts, "saturation": saturation}


def summary(windows: Sequence[Row]) -> Row:
    """Over all windows after the warm-up: drift is the later half's median ÷ the earlier half's."""
    settled = windows[int(WARM_UP * len(windows)) :]
    middle = len(settled) // 2
    found: Row = {
        name: sum(window[name] for window in windows) for name in ("requests", "refused", "failed")
    }
    for name in ("p50_ms", "p99_ms", *(f"{process}_mb" for process in PROCESSES)):
        values = [window[name] for window in settled]
        found[name] = median(values)
        found[f"{name}_drift"] = median(values[middle:]) / median(values[:middle])
    hours = [window["ended_s"] / 3600 for window in settled]
    for process in PROCESSES:
        sizes = [window[f"{process}_mb"] for window in settled]
        found[f"{process}_mb_an_hour"] = float(np.polyfit(hours, sizes, 1)[0])
    return found


def _window(sample: Sample) -> Row:
    return {
        "ended_s": time.monotonic(),
        "requests": sample.requests,
        "refused": sample.refused,
        "failed": sample.failed,
        "p50_ms": percentile_ms(sample, 50),
        "p99_ms": percentile_ms(sample, 99),
    }


def _memory_mb(supervisor: int) -> Row:
    """Resident memory by process; a training's own is none of the worker's."""
    found = {f"{process}_mb": 0.0 for process in PROCESSES}
    for child in children_of(supervisor, recursive=False):
        name = next((part for part in PROCESSES if part in child.line), "valkey")
        found[f"{name}_mb"] += child.memory_bytes / 1e6
    return found


@contextmanager
def _changing(url: str, train_every_s: float) -> Iterator[Counter[str]]:
    """Change what is served until the block ends; what was done, counted."""
    counts: Counter[str] = Counter(dict.fromkeys(("guests", "trained", "changes_failed"), 0))
    ended = threading.Event()
    given = (url, counts, ended)
    threads = [
        threading.Thread(target=_guests, args=given),
        threading.Thread(target=_trainings, args=(*given, train_every_s)),
    ]
    for thread in threads:
        thread.start()
    try:
        yield counts
    finally:
        ended.set()
        for thread in threads:
            thread.join()


def _guests(url: str, counts: Counter[str], ended: threading.Event) -> None:
    """Adapters that come as archives, answer in two versions, and go."""
    with Client(url) as client, tempfile.TemporaryDirectory() as folder:
        archives = [Path(folder) / f"{number}.tar.gz" for number in range(2)]
        for number, archive in enumerate(archives):
            client.export(fleet.name_of(number), archive)
        for number in itertools.count():
            if ended.wait(PAUSE_S):
                return
            try:
                _one_guest(client, f"guest-{number}", archives)
                counts["guests"] += 1
            except (ApiError, AssertionError) as error:
                counts["changes_failed"] += 1
                print(f"guest-{number}: {error!r}", file=sys.stderr, flush=True)


def _one_guest(client: Client, name: str, archives: Sequence[Path]) -> None:
    for version, archive in enumerate(archives, start=1):
        client.import_archive(name, archive, promote=True)
        _expect(client, name, version)
    client.rollback(name)
    _expect(client, name, 1)
    client.promote(name, 2)
    _expect(client, name, 2)
    client.delete(name)


def _expect(client: Client, name: str, version: int) -> None:
    found = client.classify(name, text=fleet.GOLDEN_TEXT)["version"]
    if found != version:
        raise AssertionError(f"version {found} answered, not {version}")


def _trainings(url: str, counts: Counter[str], ended: threading.Event, every_s: float) -> None:
    """Uploads that are trained on, one after the other."""
    with Client(url) as client:
        for number in itertools.count():
            if ended.wait(every_s):
                return
            name = f"trained-{number}"
            try:
                job = client.train(FEEDBACK, name, epochs=1)["id"]
                while not (found := client.job(job))["is_terminal"]:
                    time.sleep(0.5)
                if found["state"] != JobState.SUCCEEDED:
                    raise AssertionError(f"the job is {found['state']}")
                client.delete(name)
                counts["trained"] += 1
            except (ApiError, AssertionError) as error:
                counts["changes_failed"] += 1
                print(f"{name}: {error!r}", file=sys.stderr, flush=True)


def _fleet(options: argparse.Namespace, home: Path) -> tuple[Workload, int]:
    """Adapters in `home`, what is asked of them, and the bytes of half of them."""
    base = FrozenBase.load(options.base, device="cpu")
    base.prepare_to_serve("auto")
    adapters = fleet.make(Classifier(base), options.adapters, home)
    texts = [example.input.text for example in read_dataset(FEEDBACK, ReadRequest()).dataset.train]
    work = Workload.of(FEEDBACK.stem, texts, options.adapters)
    return work, sum(adapter.nbytes for adapter in adapters) // 2


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="benchmarks/soak.py", description=__doc__)
    add = parser.add_argument
    add("--minutes", type=float, default=20)
    add("--window", type=float, default=30, metavar="SECONDS")
    add("--share", type=float, default=0.8, help="of saturation")
    add("--adapters", type=int, default=64, help="that are asked; half of them fit")
    add("--train-every", type=float, default=60, metavar="SECONDS", help="between two trainings")
    add("--threads", type=int, default=1, help="of the server's device")
    add("--base", help="base model; the packaged one by default")
    add("--json", type=Path, metavar="FILE", help="write the rows here too")
    return parser


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
