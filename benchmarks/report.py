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
    columns = list(dict.fromkeys(name for row in rows for name in row))
    table = Table(title=title)
    for name in columns:
        table.add_column(name, overflow="fold")
    for row in rows:
        table.add_row(*(_text(row.get(name)) for name in columns))
    Console(width=max(100, 14 * len(columns))).print(table)
    if json_file is not None:
        json_file.write_text(json.dumps(list(rows), indent=1, ensure_ascii=False) + "\n")


def _text(value: Any) -> str:
    if value is None:
        return ""
    if isinstance(value, float):
        return f"{value:.4g}" if abs(value) < 1e4 else f"{value:,.0f}"
    return f"{value:,}" if isinstance(value, int) and not isinstance(value, bool) else str(value)
