"""One process for each adapter, each with a base of its own: as many as memory is given for."""

import multiprocessing
import time
from collections.abc import Iterator
from contextlib import contextmanager
from multiprocessing.connection import Connection, wait

import psutil
import torch

from serving_rungs.http_load import cpu_s, memory_bytes
from serving_rungs.peers import peft_prefix
from serving_rungs.peers.stock import Place, encoded
from serving_rungs.turns import Contender, Sample

APART = "one process an adapter"


@contextmanager
def contender(place: Place, count: int) -> Iterator[Contender]:
    """So many processes; every one always has a text, of whichever adapter is its."""
    spawn = multiprocessing.get_context("spawn")
    lines, processes = [], []
    for _ in range(count):
        ours, theirs = spawn.Pipe()
        process = spawn.Process(target=_serve, args=(place, theirs), daemon=True)
        process.start()
        theirs.close()
        lines.append(ours)
        processes.append(process)
    try:
        for line in lines:
            line.recv()  # it is ready
        pids = [psutil.Process(process.pid) for process in processes]
        fields = {"rung": "peer", "peer": APART, "dtype": place.dtype, "processes": count}
        yield Contender(fields, lambda _: _turn(place, lines, pids))
    finally:
        for process in processes:
            process.terminate()
            process.join()


def _turn(place: Place, lines: list[Connection], pids: list[psutil.Process]) -> Sample:
    texts, rows, used = place.work.texts, 0, sum(map(cpu_s, pids))
    began = time.perf_counter()
    for number, line in enumerate(lines):
        line.send(texts[number % len(texts)])
    waiting = set(lines)
    while waiting:
        for line in waiting.intersection(wait(waiting)):
            line.recv()
            rows += 1
            if time.perf_counter() - began < place.seconds:
                line.send(texts[(rows + len(lines)) % len(texts)])
            else:
                waiting.discard(line)
    passed = time.perf_counter() - began
    memory = sum(map(memory_bytes, pids))
    return Sample(rows, passed, sum(map(cpu_s, pids)) - used, memory_bytes=memory)


def _serve(place: Place, line: Connection) -> None:
    torch.set_num_threads(1)  # there are more processes than processors
    model, tokenizer = peft_prefix.adapted(place, 1), place.tokenizer()
    line.send("ready")
    with torch.inference_mode():
        while True:
            scores = model(**encoded(tokenizer, [line.recv()])).logits
            line.send(scores[0].tolist())
