"""values_table.py: write the values table of the chart's README from the comments in values.yaml.

A comment that starts with `# --` and stands right above a name says what that value is. Run after
a change in values.yaml; a test says when it is needed.
"""

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml

CHART = Path(__file__).parent / "skhost"
VALUES = CHART / "values.yaml"
README = CHART / "README.md"
BEGIN = "<!-- values.yaml -->\n"
END = "<!-- /values.yaml -->\n"

_NAME = re.compile(r"( *)([A-Za-z]+):")


class Undescribed(Exception):
    """A value without a comment."""


def descriptions(text: str) -> dict[str, str]:
    """What values.yaml says of each name, by its path."""
    found: dict[str, str] = {}
    path: list[str] = []
    said: list[str] = []
    for line in text.splitlines():
        comment = line.strip()
        if comment.startswith("# -- "):
            said = [comment.removeprefix("# -- ")]
        elif comment.startswith("# ") and said:
            said.append(comment.removeprefix("# "))
        elif (name := _NAME.match(line)) is not None:
            path = [*path[: len(name[1]) // 2], name[2]]
            if said:
                found[".".join(path)] = " ".join(said)
            said = []
        else:
            said = []
    return found


def leaves(
    values: dict[str, Any], described: dict[str, str], path: tuple[str, ...] = ()
) -> Iterator[tuple[str, Any]]:
    """Path and default of every value; a mapping with a description of its own is one value.

    Raises:
        Undescribed: there is no comment above it.
    """
    for key, value in values.items():
        name = ".".join((*path, key))
        if name in described:
            yield name, value
        elif isinstance(value, dict) and value:
            yield from leaves(value, described, (*path, key))
        else:
            raise Undescribed(f"{name}: put a comment that starts with `# --` above it")


def table(text: str) -> str:
    """The table for what values.yaml holds."""
    described = descriptions(text)
    rows = ["| value | default | what it is |", "| --- | --- | --- |"]
    for name, value in leaves(yaml.safe_load(text), described):
        rows.append(f"| `{name}` | `{json.dumps(value)}` | {described[name]} |")
    return "\n".join(rows) + "\n"


def with_table(readme: str, text: str) -> str:
    """The README with its table replaced."""
    before, rest = readme.split(BEGIN)
    _, after = rest.split(END)
    return f"{before}{BEGIN}{table(text)}{END}{after}"


def main() -> None:
    """Replace the table."""
    README.write_text(with_table(README.read_text(), VALUES.read_text()))


if __name__ == "__main__":
    main()
