"""requirements.py PYPROJECT [EXTRA,...]: what the project depends on, a requirement a line.

Lets the image install the dependencies before the sources are copied, so that a change in the
sources does not install them again.
"""

import sys
import tomllib
from pathlib import Path


def requirements(pyproject: Path, extras: list[str]) -> list[str]:
    """The requirements, those of the extras last.

    Raises:
        KeyError: there is no such extra.
    """
    project = tomllib.loads(pyproject.read_text())["project"]
    found = list(project["dependencies"])
    for extra in extras:
        found += project["optional-dependencies"][extra]
    return found


def extras_of(pyproject: Path) -> list[str]:
    """The names of the project's extras."""
    return list(tomllib.loads(pyproject.read_text())["project"]["optional-dependencies"])


def main() -> None:
    """Write them to stdout."""
    extras = sys.argv[2] if len(sys.argv) > 2 else ""
    lines = requirements(Path(sys.argv[1]), [extra for extra in extras.split(",") if extra])
    sys.stdout.write("\n".join(lines) + "\n")


if __name__ == "__main__":
    main()
