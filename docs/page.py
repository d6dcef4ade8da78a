"""How a generated page is put together."""

from collections.abc import Iterable, Sequence

NOTE = "<!-- Written by `make docs` from the code. Change the code, not this page. -->"


def page(title: str, *parts: str) -> str:
    """A page whose paragraphs and tables are `parts`."""
    return "\n\n".join((f"# {title}", NOTE, *parts)) + "\n"


def table(head: Sequence[str], rows: Iterable[Sequence[str | None]]) -> str:
    """A table; a cell is put on one line."""
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join("| " + " | ".join(map(_cell, line)) + " |" for line in lines)


def _cell(text: str | None) -> str:
    return " ".join((text or "").replace("|", "\\|").split())
