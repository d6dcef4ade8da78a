"""Everything from outside at random: uploads, artifacts, PEFT checkpoints, the HTTP interface.

Readers are fed by libFuzzer (atheris), which follows the branches of our own code: an input must be
accepted or refused; any other exception, an input that takes more than its processor time, and a
process that breaks or outgrows its memory are findings. They lie in --found, with tracebacks.
`api` sends what schemathesis makes of the OpenAPI document to a real service: an answer of 5xx, or
one that the document does not describe, is a finding.
"""

import argparse
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from fuzzing.processes import fuzz
from fuzzing.targets import NAMES
from report import report

API = "api"
INPUTS = {**dict.fromkeys(NAMES, 200_000), API: 100}  # api: examples of each operation
BAD = ("crashes", "hangs", "server_errors", "undocumented")


def main(arguments: list[str]) -> int:
    """Run; 1 if anything was found."""
    parser = argparse.ArgumentParser(prog="benchmarks/fuzz.py", description=__doc__)
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the rows here too")
    parser.add_argument("--only", choices=tuple(INPUTS), action="append", help="these parts alone")
    parser.add_argument("--examples", type=int, help="inputs a part, instead of the full number")
    parser.add_argument("--seed", type=int, default=0, help="another one, other inputs")
    parser.add_argument("--processes", type=int, default=1, help="at once, for one part")
    parser.add_argument("--found", type=Path, default=Path("fuzz-found"), help="where findings lie")
    options = parser.parse_args(arguments)
    rows = []
    for part in options.only or INPUTS:
        rows.append(_row(part, options))
        print(rows[-1], flush=True)
    report("Inputs at random", rows, options.json)
    return 1 if any(row.get(name) for row in rows for name in BAD) else 0


def _row(part: str, options: argparse.Namespace) -> Mapping[str, Any]:
    inputs = options.examples or INPUTS[part]
    if part != API:
        return fuzz(part, inputs, options.seed, options.processes, options.found)
    from fuzzing.api import fuzz_api  # schemathesis takes seconds to import

    return fuzz_api(inputs, options.seed, options.found)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
