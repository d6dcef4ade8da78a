"""What the fault matrix injects really happens, and what it counts is what was seen."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
from faulty import clock
from faulty.load import Outcome, Tally, Truth
from faulty.memory import overwrite
from faulty.proxy import way_to
from redis import Redis
from redis.exceptions import TimeoutError as NoAnswer

from skhost.valkey import EmbeddedValkey

HOLDER = """
import sys
kept = bytearray(bytes(range(256)) * 2)
print("ready", flush=True)
sys.stdin.readline()
print(kept[0], flush=True)
"""


CLOCK_READER = """
import sys, time
wall, monotonic = time.time(), time.monotonic()
print("ready", flush=True)
sys.stdin.readline()
print(time.time() - wall, time.monotonic() - monotonic)
"""


def test_an_answer_is_right_wrong_or_stale() -> None:
    truth = Truth(1, {"a": {"x": 0.25, "y": 0.75}})

    def judged(version: int, **scores: float) -> Outcome:
        return truth.judge("a", {"version": version, "results": [{"scores": scores}]})

    assert judged(1, x=0.2501, y=0.7499) is Outcome.RIGHT
    assert judged(1, x=0.75, y=0.25) is Outcome.WRONG
    assert judged(1, x=1.0) is Outcome.WRONG
    assert judged(2, x=0.25, y=0.75) is Outcome.STALE


def test_a_tally_counts_what_reached_a_server() -> None:
    tally = Tally()
    for outcome in (Outcome.RIGHT, Outcome.LOST, Outcome.NOT_ACCEPTED, Outcome.REFUSED):
        tally.count(outcome)
    assert tally.sent == 3
    assert tally.of(Outcome.LOST, Outcome.REFUSED) == 2
    assert tally.last_trouble_at > 0


def test_another_process_s_memory_is_changed() -> None:
    command = [sys.executable, "-c", HOLDER]
    pipe = subprocess.PIPE
    with subprocess.Popen(command, stdin=pipe, stdout=pipe, text=True) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
        try:
            found = overwrite(process.pid, bytes(range(256)), b"\x07")
        except PermissionError:
            process.kill()
            pytest.skip("another process's memory may not be written here")
        assert found >= 1
        process.stdin.write("\n")
        process.stdin.flush()
        assert process.stdout.readline() == "7\n"


def test_a_way_that_is_cut_swallows_and_then_passes_on(tmp_path: Path) -> None:
    with EmbeddedValkey(tmp_path) as valkey:
        socket = valkey.url.removeprefix("unix://")
        with way_to(socket) as way, Redis.from_url(way.url, socket_timeout=20) as far:
            far.set("a", "1")
            near = Redis.from_url(way.url, socket_timeout=0.2, retry=None)
            with way.cut(), near, pytest.raises(NoAnswer):
                near.get("a")
            assert far.get("a") == b"1"


@pytest.mark.skipif(not clock.is_possible(), reason="needs a C compiler")
def test_a_clock_moves_in_a_program_that_runs(tmp_path: Path) -> None:
    environment = {**os.environ, **clock.environment(tmp_path)}
    command = [sys.executable, "-c", CLOCK_READER]
    with subprocess.Popen(
        command, env=environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as reader:
        assert reader.stdout is not None
        assert reader.stdout.readline() == "ready\n"
        clock.move(tmp_path / "clock", -3600)
        out, _ = reader.communicate("\n")
    passed, of_monotonic = map(float, out.split())
    assert passed == pytest.approx(of_monotonic - 3600, abs=1)
    assert 0 <= of_monotonic < 60
