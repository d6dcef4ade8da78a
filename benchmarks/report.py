"""A benchmark's rows: as a table for people, as a list of flat JSON objects for programs."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

Row = Mapping[str, Any]


def report(title: str, rows: Sequence[Row], json_file: Path | None = None) -> None:
    """Print `rows` as a table; also write them to `json_file` when one is given."""
    console = Console(width=160)
    console.print(_on_end(title, rows[0]) if len(rows) == 1 else _table(title, rows))
    if json_file is not None:
        write(rows, json_file)


def write(rows: Sequence[Row], json_file: Path) -> None:
    """Write `rows` for programs."""
    json_file.write_text(json.dumps(list(rows), indent=1, ensure_ascii=False) + "\n")


def _table(title: str, rows: Sequence[Row]) -> Table:
    columns = list(dict.fromkeys(name for row in rows for name in row))
    table = Table(*columns, title=title)
    for row in rows:
        table.add_row(*(_text(row.get(name)) for name in columns))
    return table


def _on_end(title: str, row: Row) -> Table:
    """One row, a line a column."""
    table = Table("figure", "value", title=title)
    for name, value in row.items():
        table.add_row(name, _text(value))
    return table


def _text(value: Any) -> str:
    if value is None:
        return ""
    if isinstance(value, float):
        return f"{value:.4g}" if abs(value) < 1e4 else f"{value:,.0f}"
    return f"{value:,}" if isinstance(value, int) and not isinstance(value, bool) else str(value)
