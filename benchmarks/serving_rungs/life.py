"""An adapter's life on a server: cold, published, one of too many, and beside a training."""

import tempfile
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from statistics import median

from local_service import RunningService, running

from serving_rungs import fleet
from serving_rungs.http_load import Load
from serving_rungs.over_http import SINGLE_CLIENTS
from serving_rungs.turns import Row, percentile_ms
from serving_rungs.workload import Workload
from skhost.archive import pack
from skhost.client import Client
from skhost.jobs.record import JobState
from sktuning import artifact
from sktuning.adapter import Adapter
from sktuning.classify import Classifier

PARTS = 10  # of the fleet, one fits the device's budget
LIGHT = 0.3  # of saturation, beside a training
POLL_S = 0.005
WITHIN_S = 60.0

Settings = Mapping[str, str]


def cold(settings: Settings, home: Path, work: Workload) -> Row:
    """A server that has just begun: every adapter's first answer, one after the other, and another.

    The adapters have been served from this data directory before, so that all are known to be good.
    """
    requests = work.once_each()
    with running("serve", data_dir=home, settings=settings) as server:
        load = Load(server.url, server.pid, requests, [1] * len(requests))
        first, again = load.once(1), load.once(1)
    found = {
        f"{name}_p{percent}_ms": percentile_ms(sample, percent)
        for name, sample in (("cold", first), ("warm", again))
        for percent in (50, 99)
    }
    more = found["cold_p99_ms"] - found["warm_p99_ms"]
    return {"rung": "cold adapter", "requests": len(requests), **found, "more_ms": more}


def published(
    settings: Settings, home: Path, classifier: Classifier, adapters: Sequence[Adapter]
) -> Row:
    """New versions of an adapter while two replicas answer: when does each have the new one?

    Measured from the publisher's answer, so that the import itself is not counted.
    """
    here, there = [], []
    with (
        running("serve", data_dir=home, settings=settings) as first,
        running("serve", data_dir=home, settings=settings) as second,
        Client(first.url) as client,
        Client(second.url) as replica,
    ):
        name = fleet.name_of(0)
        for each in (client, replica):
            each.classify(name, text=fleet.GOLDEN_TEXT)
        for adapter in adapters[1:]:
            version = _import(client, name, classifier, adapter)
            began = time.monotonic()
            here.append(_until(client, name, version, began))
            there.append(_until(replica, name, version, began))
    return {
        "rung": "publish",
        "repeats": len(here),
        "here_ms": median(here),
        "here_max_ms": max(here),
        "replica_ms": median(there),
        "replica_max_ms": max(there),
    }


def crowded(settings: Settings, home: Path, work: Workload, seconds: float, repeats: int) -> Row:
    """Ten times as many adapters as the device has room for, beside a server that has it for all.

    The two servers take turns; there are fewer clients than adapters fit.
    """
    requests = work.requests(1)
    clients = min(SINGLE_CLIENTS, max(work.adapters // (2 * PARTS), 1))
    parts = min(PARTS, max(work.adapters // 4, 1))  # a few adapters must fit
    with running("serve", data_dir=home, settings=settings) as roomy:
        _load(roomy, work.once_each()).once(clients)
        with Client(roomy.url) as client:
            used = int(client.info()["residency"]["device_bytes"])
        less = {**settings, "SKHOST_DEVICE_BUDGET_BYTES": str(used // parts)}
        with running("serve", data_dir=home, settings=less) as tight:
            _load(tight, work.once_each()).once(clients)
            all_in, too_many = _load(roomy, requests), _load(tight, requests)
            pairs = [
                (all_in.closed(clients, seconds), too_many.closed(clients, seconds))
                for _ in range(repeats)
            ]
    return {
        "rung": "working set",
        "clients": clients,
        "repeats": repeats,
        "times_the_budget": parts,
        "rows_per_s": median(tight.rows_per_s for _, tight in pairs),
        "to_all_resident": median(tight.rows_per_s / whole.rows_per_s for whole, tight in pairs),
        "failed": sum(tight.failed + tight.refused for _, tight in pairs),
    }


def beside_training(
    settings: Settings, home: Path, work: Workload, data: Path, seconds: float
) -> Row:
    """Single texts at a light load, before a training job runs and while it does."""
    with running("up", data_dir=home, settings=settings) as service, Client(service.url) as client:
        load = _load(service, work.requests(1))
        _load(service, work.once_each()).once(SINGLE_CLIENTS)
        rate = LIGHT * load.closed(SINGLE_CLIENTS, seconds).rows_per_s
        without = load.open(rate, seconds, seed=0)
        job = client.train(data, "trained-beside", epochs=100)
        _wait_until_it_trains(client, job["id"])
        beside = load.open(rate, seconds, seed=1)
        is_still = client.job(job["id"])["state"] == JobState.RUNNING
        client.cancel(job["id"])
    if not is_still:
        raise RuntimeError("the training ended before it was measured beside")
    without_ms, beside_ms = (percentile_ms(sample, 99) for sample in (without, beside))
    return {
        "rung": "beside training",
        "offered": LIGHT,
        "p99_without_ms": without_ms,
        "p99_ms": beside_ms,
        "to_without": beside_ms / without_ms,
        "failed": beside.failed + beside.refused,
    }


def _load(service: RunningService, requests: Sequence[tuple[str, str]]) -> Load:
    return Load(service.url, service.pid, requests, [1] * len(requests))


def _import(client: Client, name: str, classifier: Classifier, adapter: Adapter) -> int:
    """Publish an adapter as the next version; its number."""
    ((_, golden),) = fleet.with_golden(classifier, [adapter])
    with tempfile.TemporaryDirectory() as folder:
        directory, archive = Path(folder) / "artifact", Path(folder) / "adapter.tar.gz"
        artifact.write(directory, adapter, golden, fleet.CARD)
        with archive.open("wb") as file:
            pack(directory, file)
        return int(client.import_archive(name, archive, promote=True)["version"])


def _until(client: Client, name: str, version: int, began: float) -> float:
    """Milliseconds until it answers with that version."""
    while client.classify(name, text=fleet.GOLDEN_TEXT)["version"] != version:
        if time.monotonic() - began > WITHIN_S:
            raise TimeoutError(f"{client.url} does not answer with version {version}")
        time.sleep(POLL_S)
    return (time.monotonic() - began) * 1000


def _wait_until_it_trains(client: Client, job_id: str) -> None:
    for event in client.events(job_id):
        if event.kind == "progress":
            return
    raise RuntimeError(f"the training ended: {client.job(job_id)['error']}")
