"""Write locked/: what the image installs, by version and hash of its wheels.

    pip install pip-tools==7.6.2 && python deploy/image/lock.py

with the Python version of the Dockerfile's base image, after constraints.txt has changed. One file
holds what the project needs, and one for each extra what that adds. Not in them: torch, whose
builds for processors and for CUDA come from different indexes, and what it alone brings; and
packages that are published as sources only, whose wheels are built, each time with another hash.
"""

import re
import subprocess
import sys
import tempfile
from pathlib import Path

from requirements import extras_of, requirements

HERE = Path(__file__).parent
ROOT = HERE.parents[1]
SOURCES_ONLY = ("seqeval",)
PIN = re.compile(
    r"^(?P<name>[a-z0-9._-]+)==\S+(?: \\\n +--hash=sha256:[0-9a-f]{64})+", re.MULTILINE
)


def pins(wanted: list[str]) -> dict[str, str]:
    """The closure of requirements under the constraints: by name, the pin with its hashes."""
    with tempfile.TemporaryDirectory() as folder:
        asked, found = Path(folder, "in.txt"), Path(folder, "out.txt")
        asked.write_text("\n".join([f"-c {ROOT / 'constraints.txt'}", *wanted]) + "\n")
        options = ["--generate-hashes", "--strip-extras", "--no-header", "--no-annotate", "--quiet"]
        options += [f"--unsafe-package={name}" for name in ("torch", "setuptools", *SOURCES_ONLY)]
        command = ["piptools", "compile", *options, f"--output-file={found}", str(asked)]
        subprocess.run([sys.executable, "-m", *command], check=True)
        return {pin["name"]: pin[0] for pin in PIN.finditer(found.read_text())}


def main() -> None:
    """Write one file for the project and one for what each extra adds."""
    project = ROOT / "pyproject.toml"
    own = pins(requirements(project, []))
    (HERE / "locked").mkdir(exist_ok=True)
    for extra in ("", *extras_of(project)):
        found = pins(requirements(project, [extra])) if extra else own
        lines = [pin for name, pin in found.items() if found is own or name not in own]
        (HERE / "locked" / f"{extra or 'skhost'}.txt").write_text("\n".join(lines) + "\n")


if __name__ == "__main__":
    main()
