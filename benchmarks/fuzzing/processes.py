"""The children of one target, watched from outside: a crash or a hang of one is only its own."""

import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from fuzzing.tally import Tally, TallyFile

ROOT = Path(__file__).resolve().parents[2]
LIMIT_S = 10.0  # processor time of one input
STUCK_S = 120.0  # of any time: what no signal ends
MEMORY_MB = 2048
MAX_BYTES = 1 << 16  # of one input
LOOK_EVERY_S = 0.5


@dataclass(frozen=True, slots=True)
class Result:
    """One process's tally, and whether the process itself broke."""

    tally: Tally
    is_broken: bool


def fuzz(target: str, inputs: int, seed: int, processes: int, found: Path) -> dict[str, Any]:
    """Feed `inputs` to `target` and return the row; what was found is copied to `found`."""
    began = time.monotonic()
    results: list[Result] = []
    with tempfile.TemporaryDirectory(prefix="skhost-fuzz-", dir=_memory()) as folder:
        share = -(-inputs // processes)
        children = [_Child(target, Path(folder) / str(n), found) for n in range(processes)]
        for number, child in enumerate(children):
            child.begin(share, seed * 1000 + number + 1)
        while any(child.is_running for child in children):
            time.sleep(LOOK_EVERY_S)
            for child in children:
                results += child.look()
    return {"target": target, **_sum(results), "seconds": round(time.monotonic() - began, 1)}


class _Child:
    """A process, begun again with what is left when it breaks."""

    def __init__(self, target: str, folder: Path, found: Path) -> None:
        self._target = target
        self._folder = folder
        self._found = found
        self._process: subprocess.Popen[bytes] | None = None
        self._left = 0
        self._seed = 0

    @property
    def is_running(self) -> bool:
        return self._process is not None

    def begin(self, inputs: int, seed: int) -> None:
        self._left, self._seed = inputs, seed
        self._folder.mkdir()
        values = {
            "--inputs": inputs,
            "--seed": seed,
            "--limit-s": LIMIT_S,
            "--memory-mb": MEMORY_MB,
            "--max-bytes": MAX_BYTES,
        }
        options = [str(part) for pair in values.items() for part in pair]
        with (self._folder / "log").open("wb") as log:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "fuzzing.child", self._target, str(self._folder), *options],
                stdout=log,
                stderr=log,
                env=_environment(self._folder),
            )

    def look(self) -> list[Result]:
        """What it ended with, if it has ended."""
        if self._process is None:
            return []
        with TallyFile(self._folder / "tally") as file:
            tally = file.read()
        is_stuck = bool(tally.begun) and time.monotonic() - tally.begun > STUCK_S
        if self._process.poll() is None and not is_stuck:
            return []
        if is_stuck:
            self._process.kill()
        is_broken = self._process.wait() != 0
        if is_broken:
            tally.inputs += 1
            tally.hangs += is_stuck
            tally.crashes += not is_stuck
        self._take(is_broken)
        self._process = None
        left = self._left - tally.inputs
        if is_broken and tally.start_kib and left > 0:
            self.begin(left, self._seed + 1_000_000)
        return [Result(tally, is_broken)]

    def _take(self, is_broken: bool) -> None:
        """Keep what it found, and clear its folder."""
        found = self._folder / "found"
        self._found.mkdir(parents=True, exist_ok=True)
        if found.is_dir():
            shutil.copytree(found, self._found, dirs_exist_ok=True)
        if is_broken:
            name = f"broken-{self._target}-{self._seed}"
            shutil.copy(self._folder / "log", self._found / f"{name}.txt")
            if (self._folder / "input").exists():
                shutil.copy(self._folder / "input", self._found / f"{name}.bin")
        shutil.rmtree(self._folder)


def _sum(results: list[Result]) -> dict[str, Any]:
    tallies = [result.tally for result in results]
    counted = ("inputs", "refused", "accepted", "crashes", "hangs")
    return {
        **{name: sum(getattr(tally, name) for tally in tallies) for name in counted},
        "slowest_ms": round(1000 * max(tally.slowest_s for tally in tallies), 1),
        "start_mb": round(max(tally.start_kib for tally in tallies) / 1024, 1),
        "peak_mb": round(max(tally.peak_kib for tally in tallies) / 1024, 1),
        "processes": len(results),
    }


def _environment(folder: Path) -> Mapping[str, str]:
    paths = [ROOT / name for name in ("benchmarks", "tests", "service", "adapters")]
    before = [path for path in os.environ.get("PYTHONPATH", "").split(os.pathsep) if path]
    return {
        **os.environ,
        "PYTHONPATH": os.pathsep.join([*map(str, paths), *before]),
        "TMPDIR": str(folder),
        "OMP_NUM_THREADS": "1",
    }


def _memory() -> str | None:
    """A folder in memory, where the system has one: inputs are files."""
    return "/dev/shm" if os.access("/dev/shm", os.W_OK) else None
