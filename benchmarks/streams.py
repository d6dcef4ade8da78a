"""Many rows through one stream, and what somebody who waits for one answer notices of it.

Rows a second, in turns: requests of 64 texts one after the other, the same from eight clients, and
one stream. Then single texts for another adapter, one after the other: alone, beside a stream of
the class `batch`, and beside one that says it is interactive.
"""

import argparse
import itertools
import json
import statistics
import sys
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from local_service import running
from report import report

from skhost.client import ApiError, Client

FEEDBACK = Path(__file__).parent.parent / "examples" / "feedback.jsonl"
LABELS = ("praise", "complaint", "question")
REQUEST_ROWS = 64
CLIENTS = 8


def main() -> int:
    """Run the benchmark; the exit code."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--rows", type=int, default=1024, help="of each way, in each round")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--singles", type=int, default=60, help="single texts of each kind")
    parser.add_argument("--json", type=Path, help="write the rows to this file")
    arguments = parser.parse_args()
    lines = FEEDBACK.read_text(encoding="utf-8").splitlines()
    texts = list(itertools.islice(itertools.cycle(json.loads(line)["text"] for line in lines),
                                  arguments.rows))  # fmt: skip
    settings = {"SKHOST_REQUEST_TIMEOUT_S": "300"}  # a busy machine is no failure
    with running("serve", settings=settings) as service, Client(service.url) as client:
        for name in ("many", "single"):
            client.create(name, LABELS, {})
        speeds = _speeds(client, texts, arguments.rounds)
        waits = _waits(client, service.url, texts, arguments.singles, arguments.rounds)
    report("Streams", [{**speeds, **waits}], arguments.json)
    return 0


def _speeds(client: Client, texts: list[str], rounds: int) -> dict[str, Any]:
    """Rows a second, by way; medians over the rounds."""
    ways = {"requests": _requests, "clients": _clients, "stream": _stream}
    found: dict[str, list[float]] = {name: [] for name in ways}
    for way in ways.values():
        way(client, texts[:REQUEST_ROWS])
    for _ in range(rounds):
        for name, way in ways.items():
            began = time.monotonic()
            way(client, texts)
            found[name].append(len(texts) / (time.monotonic() - began))
    medians = {name: statistics.median(values) for name, values in found.items()}
    return {
        "one request after the other, rows/s": medians["requests"],
        "eight clients, rows/s": medians["clients"],
        "one stream, rows/s": medians["stream"],
        "stream / eight clients": medians["stream"] / medians["clients"],
    }


def _requests(client: Client, texts: list[str]) -> None:
    for start in range(0, len(texts), REQUEST_ROWS):
        client.classify("many", texts=texts[start : start + REQUEST_ROWS])


def _clients(client: Client, texts: list[str]) -> None:
    parts = [texts[start : start + REQUEST_ROWS] for start in range(0, len(texts), REQUEST_ROWS)]
    with ThreadPoolExecutor(CLIENTS) as pool:
        list(pool.map(lambda part: client.classify("many", texts=part), parts))


def _stream(client: Client, texts: list[str], **options: Any) -> None:
    pieces = (_lines(texts[n : n + REQUEST_ROWS]) for n in range(0, len(texts), REQUEST_ROWS))
    for answer in client.classify_stream("many", pieces, **options):
        if "error" in answer:
            raise RuntimeError(f"a row was not answered: {answer['error']}")


def _lines(texts: list[str]) -> bytes:
    return b"".join(json.dumps({"text": text}).encode() + b"\n" for text in texts)


def _waits(client: Client, url: str, texts: list[str], singles: int, rounds: int) -> dict[str, Any]:
    """Milliseconds that a single text takes, by what goes on beside it."""
    found: dict[str, list[float]] = {"alone": [], "batch": [], "interactive": []}
    for _ in range(rounds):
        for beside, times in found.items():
            with _beside(url, texts, beside):
                times += [_one(client, texts[n % len(texts)]) for n in range(singles // rounds)]
    values: dict[str, Any] = {}
    for beside, times in found.items():
        where = "alone" if beside == "alone" else f"beside a stream, {beside}"
        values[f"{where}, p50 ms"] = statistics.median(times)
        values[f"{where}, p95 ms"] = statistics.quantiles(times, n=20)[-1]
    values["interactive / batch, p50"] = statistics.median(found["interactive"]) / (
        statistics.median(found["batch"])
    )
    return values


def _one(client: Client, text: str) -> float:
    began = time.monotonic()
    client.classify("single", text=text)
    return (time.monotonic() - began) * 1000


@contextmanager
def _beside(url: str, texts: list[str], priority: str) -> Iterator[None]:
    """A stream goes on inside the block, unless the priority is `alone`."""
    if priority == "alone":
        yield
        return
    stop, goes_on = threading.Event(), threading.Event()

    def pieces() -> Iterator[bytes]:
        while not stop.is_set():
            yield from (
                _lines(texts[n : n + REQUEST_ROWS]) for n in range(0, len(texts), REQUEST_ROWS)
            )

    def stream() -> None:
        with Client(url) as client:
            for _ in client.classify_stream("many", pieces(), priority=priority):
                goes_on.set()
                if stop.is_set():
                    return

    thread = threading.Thread(target=stream)
    thread.start()
    try:
        if not goes_on.wait(60):
            raise ApiError("the stream did not begin")
        yield
    finally:
        stop.set()
        thread.join(60)


if __name__ == "__main__":
    sys.exit(main())
