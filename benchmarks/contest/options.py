"""What the commands that perform runs have in common."""

import argparse
from pathlib import Path

CACHE = Path(__file__).resolve().parents[1] / "results" / "method"


def add_run_options(parser: argparse.ArgumentParser) -> None:
    """Where the data and the outcomes are, and how runs are performed."""
    add = parser.add_argument
    add("--data", type=Path, required=True, help="folder of the datasets' folders")
    add("--cache", type=Path, default=CACHE, help="folder of the runs' outcomes")
    add("--report", action="store_true", help="only make the tables, of what is in the cache")
    add("--device", default="auto", help="auto, cpu, cuda")
    add("--dtype", default="bfloat16", help="of the frozen bases: bfloat16, float32")
    add("--jobs", type=int, default=1, help="runs at a time; use --threads so that they fit")
    add("--threads", type=int, help="of torch in every run")
    add("--json", type=Path, metavar="FILE", help="write the rows here too")


def say(line: str) -> None:
    """Tell how it goes, at once."""
    print(line, flush=True)
