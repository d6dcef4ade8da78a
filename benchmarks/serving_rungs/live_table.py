"""The rungs with a running server as tables: over HTTP, peers, and an adapter's life."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

Rows = Sequence[Mapping[str, Any]]

_WHERE = {"adapters": "adapters", "dtype": "dtype"}
_SPEED = {"rows_per_s": "rows/s", "rows_per_cpu_s": "rows a processor second"}
_WAITS = {"p50_ms": "p50 ms", "p95_ms": "p95 ms", "p99_ms": "p99 ms"}
_COSTS = {"refused": "refused", "failed": "failed", "client_share": "client's share of the time"}

HTTP: Mapping[str, str] = {
    **{"rung": "rung", "load": "load", "texts": "texts a request", "clients": "clients"},
    **{"offered": "offered ÷ saturation", **_WHERE, **_SPEED, **_WAITS, **_COSTS},
    **{"memory_mb": "memory, MB", "to_engine": "÷ engine"},
    **{"to_engine_cpu": "÷ engine, by processor time", "p99_to_alone": "p99 ÷ one row alone"},
}
PEERS: Mapping[str, str] = {
    **{"peer": "peer", "texts": "texts a request", "clients": "clients", **_WHERE, **_SPEED},
    **{**_WAITS, "ours_to_it": "ours ÷ it", "ours_to_it_cpu": "ours ÷ it, by processor time"},
}
LIFE: Mapping[str, str] = {
    **{"rung": "what", **_WHERE, "clients": "clients", "offered": "offered ÷ saturation"},
    **{"rows_per_s": "rows/s", "to_saturation": "÷ saturation", "refused": "refused"},
    **{"failed": "failed", "others_refused": "others refused", "memory_growth": "memory ÷ before"},
    **{"p99_without_ms": "p99 ms without", "p99_ms": "p99 ms", "to_without": "÷ without"},
    **{"warm_p99_ms": "warm p99 ms", "cold_p99_ms": "cold p99 ms", "more_ms": "more ms"},
    **{"here_ms": "here, ms", "here_max_ms": "at most", "replica_ms": "second replica, ms"},
    **{"replica_max_ms": "at most there", "to_all_resident": "÷ all resident"},
}
TITLES = {"Over HTTP": HTTP, "Peers": PEERS, "Under stress, and an adapter's life": LIFE}

TEXT = {
    "Over HTTP": """\
`skhost serve` with as many threads as the engine beside it in process, for the same texts and
adapters (by Zipf's law). *Closed*: each client sends when it has its answer. *Open*: arrivals of a
Poisson process, at shares of what the closed loop of single texts reached in the same repeat. The
client is a process of its own on the same processors; its share of the time that client and server
take together is given.""",
    "Peers": """\
On the same base and texts, in turns with the server and its engine. What is in process is compared
with the engine, what is asked over HTTP with the server under the same clients.""",
    "Under stress, and an adapter's life": """\
*Overload*: arrivals at three times saturation. *Flood*: half of saturation shared alike, and one
adapter at ten times its share: the others' p99. *Cold adapter*: the first answer after a start,
and one more. *Publish*: from the publisher's answer to the new version's first. *Working set*: ten
times the device's budget. *Beside training*: single texts at 0.3 of saturation.""",
}


def is_live(row: Mapping[str, Any]) -> bool:
    """Whether it is of these rungs."""
    return "threads" in row


def sections(rows: Rows) -> Iterator[tuple[str, Mapping[str, str], Rows]]:
    """Title, columns and rows of what was measured."""
    for title, columns in TITLES.items():
        if own := [row for row in rows if is_live(row) and _title(row) == title]:
            yield title, columns, own


def _title(row: Mapping[str, Any]) -> str:
    if row["rung"] in ("http", "engine"):
        return "Over HTTP"
    return "Peers" if row["rung"] == "peer" else "Under stress, and an adapter's life"
