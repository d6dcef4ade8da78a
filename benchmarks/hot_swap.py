"""Hot swap under load: promotions between two versions while clients classify without a pause.

Without --url it starts a service of its own and trains two versions of an adapter on our sample
data. Checked for every answer: it came, it carries the digest of one of the two versions, and it
equals what that version answers when it is asked by its number. Also checked: once a promotion has
returned, this server answers with the new version.
"""

import argparse
import random
import statistics
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from local_service import running
from report import report

from skhost.client import ApiError, Client

INTENTS = Path(__file__).parent.parent / "examples" / "intents.csv"
TEXTS = (
    "I forgot my password and cannot get in",
    "where is my parcel, it should have been here on Monday",
    "please cancel my subscription at the end of the month",
    "the app crashes whenever I open the settings",
    "you charged me twice this month",
    "I would like my money back",
)
TOLERANCE = 1e-4  # of probabilities: another batch, another order of additions
ANSWERS_BETWEEN = 2  # a client, before the next promotion


@dataclass(frozen=True, slots=True)
class Truth:
    """What one version answers when nothing else is going on."""

    version: int
    digest: str
    scores: dict[str, dict[str, float]]  # text → label → probability

    def explains(self, text: str, item: dict[str, Any]) -> bool:
        """Whether an item is this version's answer to `text`."""
        known, seen = self.scores[text], item.get("scores", {})
        return known.keys() == seen.keys() and all(
            abs(known[label] - seen[label]) <= TOLERANCE for label in known
        )


@dataclass(slots=True)
class Tally:
    """What the clients saw."""

    latencies_ms: list[float] = field(default_factory=list)
    by_version: dict[int, int] = field(default_factory=dict)
    failures: list[str] = field(default_factory=list)
    unknown_digests: int = 0
    wrong_answers: int = 0
    lock: threading.Lock = field(default_factory=threading.Lock)

    @property
    def num_answers(self) -> int:
        """Requests that were answered."""
        return len(self.latencies_ms)


def main(arguments: Sequence[str]) -> int:
    """Run the benchmark; non-zero if anything that was checked did not hold."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--url", help="a running server; a service of its own by default")
    parser.add_argument("--adapter", default="intents", help="with --url: has versions 1 and 2")
    parser.add_argument("--promotions", type=int, default=50)
    parser.add_argument("--clients", type=int, default=8)
    parser.add_argument("--json", type=Path, help="write the figures here")
    options = parser.parse_args(arguments)
    with _service(options.url, options.adapter) as url:
        row = swap_under_load(url, options.adapter, options.promotions, options.clients)
    report("hot swap under load", [row], options.json)
    checked = ("failed_requests", "unknown_digests", "wrong_answers", "stale_after_promotion")
    return int(any(row[name] for name in checked))


def swap_under_load(url: str, adapter: str, promotions: int, clients: int) -> dict[str, Any]:
    """Promote back and forth while `clients` classify; the figures."""
    with Client(url) as client:
        truths = [learn(client, adapter, version) for version in (1, 2)]
        client.promote(adapter, 1)
        tally, promote_ms, stale = Tally(), [], 0
        began = time.monotonic()
        with _clients(url, adapter, truths, tally, clients):
            _wait_for(tally, clients * ANSWERS_BETWEEN)
            for number in range(promotions):
                wanted = 2 - number % 2
                started = time.monotonic()
                client.promote(adapter, wanted)
                promote_ms.append((time.monotonic() - started) * 1000)
                stale += client.classify(adapter, text=TEXTS[0])["version"] != wanted
                _wait_for(tally, tally.num_answers + clients * ANSWERS_BETWEEN)
        seconds = time.monotonic() - began
    for failure in tally.failures[:5]:
        print(f"failed: {failure}", file=sys.stderr)
    return {
        "promotions": promotions,
        "clients": clients,
        "seconds": seconds,
        "requests": tally.num_answers + len(tally.failures),
        "failed_requests": len(tally.failures),
        "unknown_digests": tally.unknown_digests,
        "wrong_answers": tally.wrong_answers,
        "stale_after_promotion": stale,
        **{f"answers_of_version_{v}": n for v, n in sorted(tally.by_version.items())},
        "promote_p50_ms": statistics.median(promote_ms),
        "promote_max_ms": max(promote_ms),
        "classify_p50_ms": statistics.median(tally.latencies_ms),
        "classify_p99_ms": statistics.quantiles(tally.latencies_ms, n=100)[98],
    }


def learn(client: Client, adapter: str, version: int) -> Truth:
    """Ask a version for its answers to all texts, each alone."""
    answers = [client.classify(f"{adapter}@{version}", text=text) for text in TEXTS]
    scores = {
        text: answer["results"][0]["scores"] for text, answer in zip(TEXTS, answers, strict=True)
    }
    return Truth(version, answers[0]["digest"], scores)


@contextmanager
def _clients(
    url: str, adapter: str, truths: Sequence[Truth], tally: Tally, count: int
) -> Iterator[None]:
    stop = threading.Event()
    threads = [
        threading.Thread(target=_classify_until, args=(stop, url, adapter, truths, tally, seed))
        for seed in range(count)
    ]
    for thread in threads:
        thread.start()
    try:
        yield
    finally:
        stop.set()
        for thread in threads:
            thread.join()


def _classify_until(
    stop: threading.Event, url: str, adapter: str, truths: Sequence[Truth], tally: Tally, seed: int
) -> None:
    draw = random.Random(seed)
    with Client(url) as client:
        while not stop.is_set():
            texts = draw.choices(TEXTS, k=draw.randint(1, 4))
            started = time.monotonic()
            try:
                answer = client.classify(adapter, texts=texts)
            except ApiError as error:
                with tally.lock:
                    tally.failures.append(str(error))
                continue
            with tally.lock:
                tally.latencies_ms.append((time.monotonic() - started) * 1000)
                _judge(answer, texts, truths, tally)


def _judge(
    answer: dict[str, Any], texts: Sequence[str], truths: Sequence[Truth], tally: Tally
) -> None:
    truth = next((truth for truth in truths if truth.digest == answer["digest"]), None)
    if truth is None or truth.version != answer["version"]:
        tally.unknown_digests += 1
        return
    tally.by_version[truth.version] = tally.by_version.get(truth.version, 0) + 1
    items = answer["results"]
    right = [truth.explains(text, item) for text, item in zip(texts, items, strict=True)]
    tally.wrong_answers += not all(right)


def _wait_for(tally: Tally, answers: int, within_s: float = 60.0) -> None:
    deadline = time.monotonic() + within_s
    while tally.num_answers < answers and not tally.failures:
        if time.monotonic() > deadline:
            raise TimeoutError(f"the clients got {tally.num_answers} answers, not {answers}")
        time.sleep(0.001)


@contextmanager
def _service(url: str | None, adapter: str) -> Iterator[str]:
    """A server that has the adapter in versions 1 and 2."""
    with running() if url is None else nullcontext() as service:
        if service is None:
            assert url is not None
            yield url
            return
        with Client(service.url) as client:
            for seed in (1, 2):
                _train(client, adapter, seed)
        yield service.url


def _train(client: Client, adapter: str, seed: int) -> None:
    job = client.train(INTENTS, adapter, label_column="intent", epochs=1, seed=seed, gate="always")
    for _ in client.events(job["id"]):
        continue
    ended = client.job(job["id"])
    if ended["state"] != "succeeded":
        raise RuntimeError(f"training version {seed} ended as {ended['state']}: {ended['error']}")


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
