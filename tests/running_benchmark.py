"""Benchmarks as anyone runs them: each by its command, in a process of its own."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

BENCHMARKS = Path(__file__).resolve().parents[1] / "benchmarks"


def run_benchmark(name: str, *arguments: str | Path) -> subprocess.CompletedProcess[str]:
    """Run `benchmarks/<name>.py` to its end, however it ends."""
    command = [sys.executable, str(BENCHMARKS / f"{name}.py"), *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, check=False)


def rows_of(name: str, figures: Path, *arguments: str | Path) -> list[dict[str, Any]]:
    """The rows that a run which must succeed writes to `figures`."""
    done = run_benchmark(name, *arguments, "--json", figures)
    assert done.returncode == 0, done.stderr
    rows: list[dict[str, Any]] = json.loads(figures.read_text())
    return rows
