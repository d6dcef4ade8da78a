"""infinity (`infinity-emb`) over HTTP: the same base's embeddings, in an environment apart."""

import json
import os
import socket
import subprocess
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from serving_rungs.http_load import Load
from serving_rungs.over_http import BATCH_CLIENTS, BATCH_ROWS, SINGLE_CLIENTS
from serving_rungs.peers.stock import Place
from serving_rungs.turns import Contender
from serving_rungs.workload import Request

INFINITY = "infinity"
START_WITHIN_S = 300.0
MODEL = "base"


@contextmanager
def contenders(place: Place, python: Path, threads: int) -> Iterator[list[Contender]]:
    """Single texts by many clients and batches by a few, as our own server gets them."""
    port = _free_port()
    process = subprocess.Popen(
        [
            *(str(python.with_name("infinity_emb")), "v2", "--model-id", place.location),
            *("--served-model-name", MODEL, "--engine", "torch", "--device", "cpu"),
            *("--dtype", place.dtype, "--batch-size", str(BATCH_ROWS), "--port", str(port)),
            *("--host", "127.0.0.1", "--log-level", "error", "--no-model-warmup"),
        ],
        env={
            **{name: value for name, value in os.environ.items() if name != "PYTHONPATH"},
            **{"DO_NOT_TRACK": "1", "HF_HUB_OFFLINE": "1", "OMP_NUM_THREADS": str(threads)},
        },
        stdout=subprocess.DEVNULL,
    )
    try:
        _wait(f"http://127.0.0.1:{port}/health", process)
        yield [
            _contender(place, process.pid, port, rows, clients)
            for rows, clients in ((1, SINGLE_CLIENTS), (BATCH_ROWS, BATCH_CLIENTS))
        ]
    finally:
        process.terminate()
        process.wait()


def _contender(place: Place, pid: int, port: int, rows: int, clients: int) -> Contender:
    starts = range(0, len(place.work.texts) - rows + 1, rows)
    requests = [_request(place.work.texts[i : i + rows]) for i in starts]
    load = Load(f"http://127.0.0.1:{port}", pid, requests, [rows] * len(requests))
    fields = {"rung": "peer", "peer": INFINITY, "dtype": place.dtype}
    return Contender(
        {**fields, "texts": rows, "clients": clients},
        lambda _: load.closed(clients, place.seconds),
    )


def _request(texts: object) -> Request:
    return "/embeddings", json.dumps({"model": MODEL, "input": texts})


def _free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return int(listener.getsockname()[1])


def _wait(url: str, process: "subprocess.Popen[bytes]") -> None:
    deadline = time.monotonic() + START_WITHIN_S
    while True:
        try:
            with urllib.request.urlopen(url, timeout=5):
                return
        except (urllib.error.URLError, OSError) as error:
            if process.poll() is not None or time.monotonic() > deadline:
                raise RuntimeError("infinity did not start") from error
            time.sleep(0.2)
