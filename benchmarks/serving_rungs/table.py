"""docs/performance.md: the rungs as a page, with nothing in it that was not measured."""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from contest import machine

from serving_rungs import live_table, pictures
from serving_rungs.goals import GOALS, Goal
from serving_rungs.loads import ZIPF
from serving_rungs.population import VIRTUAL_TOKENS
from serving_rungs.quality import TEST_ROWS, TRAIN_ROWS

PICTURES = "pictures"
_INTRODUCTION = """\
# Performance of serving

Written by `benchmarks/serving.py`; every figure below was measured by it.

- **ceiling**: the base's matrix products and nothing else, in the same dtype and on as many tokens.
- **base**: the base's own packed forward, without adapters and without heads.
- **engine**: what the server's device thread does with a batch: prefixes, forward, pooling, heads.
  Adapters have {virtual} virtual tokens and are asked for in four ways: all rows one adapter;
  uniformly; by Zipf's law with exponent {zipf}; no two rows of a batch the same.

A batch holds texts of the dataset, in an order drawn once, up to {tokens:,} of their own tokens.
In each of {repeats} repeats everything runs in turn on the same batch; times are medians, and a
ratio is the median of the repeats' ratios. Threads: {threads}; with one, the processor's time is
taken, which other work on the machine does not lengthen, except through the caches and the memory.
*Padding* is the share of attention's queries that are none: linear layers have no padding at all.
"""
_LIVE_INTRODUCTION = """\
# Performance of serving over HTTP

Written by `benchmarks/serving.py`; every figure below was measured by it, in one run a section.

In each of {repeats} repeats everything takes a turn; figures are medians, and a ratio is the median
of the repeats' ratios. Threads: {threads}.
"""
Rows = Sequence[Mapping[str, Any]]

COLUMNS: Mapping[str, str] = {
    "rung": "rung",
    "dtype": "dtype",
    "adapters": "adapters",
    "pattern": "asked for",
    "adapters_a_batch": "adapters a batch",
    "ms": "ms a batch",
    "rows_per_s": "rows/s",
    "tokens_per_s": "tokens/s",
    "gflop_per_s": "GFLOP/s",
    "padding": "padding",
    "to_ceiling": "÷ ceiling",
    "to_base": "÷ base",
    "to_one_adapter": "÷ one adapter",
    "to_float32": "÷ float32",
}
_DECIMALS = {
    **{"ms": 1, "rows_per_s": 0, "tokens_per_s": 0, "gflop_per_s": 0},
    **{"value": 4, "same": 3, "logit_error": 4},
    **dict.fromkeys(("rows_per_cpu_s", "memory_mb"), 0),
    **dict.fromkeys(("p50_ms", "p95_ms", "p99_ms", "p99_without_ms", "more_ms"), 1),
}


def write_page(file: Path, rows: Rows, tokens: int, threads: int) -> None:
    """Write the page, and the pictures into a folder beside it."""
    timed = [row for row in rows if "ms" in row]
    about = (_INTRODUCTION if timed else _LIVE_INTRODUCTION).format(
        virtual=VIRTUAL_TOKENS,
        zipf=ZIPF,
        tokens=tokens,
        repeats=rows[0].get("repeats", 1),
        threads=threads,
    )
    where = ", ".join(f"{k}: {v}" for k, v in machine.describe("cpu", threads).items())
    parts = [about, f"Measured with {where}.", "## What was asked of it", goals(rows)]
    parts += _pictures(rows, timed, file.parent / PICTURES)
    for dataset in dict.fromkeys(row["dataset"] for row in timed):
        of_it = [row for row in timed if row["dataset"] == dataset]
        rest = [r for r in rows if r["rung"] == "profile" and r["dataset"] == dataset]
        parts += [f"## {dataset}", _size(of_it[0]), table(COLUMNS, of_it)]
        if rest:
            parts += ["Where the time goes, by operation:", table(_PROFILE, rest)]
    for title, columns, own in live_table.sections(rows):
        parts += [f"## {title}", live_table.TEXT[title]]
        for dataset in dict.fromkeys(row["dataset"] for row in own):
            parts += [f"{dataset}:", table(columns, [r for r in own if r["dataset"] == dataset])]
    if compared := [row for row in rows if row["rung"] == "quality"]:
        parts += ["## What bfloat16 costs", _QUALITY, table(_COMPARED, compared)]
    file.write_text("\n\n".join(part.strip() for part in parts) + "\n", encoding="utf-8")


_QUALITY = f"""\
One adapter a dataset, trained for one epoch on {TRAIN_ROWS} rows in the usual way, answers the
same {TEST_ROWS} test rows with the base in each format. *Same answers*: the share of rows whose
answer is that of float32 (all tags of a text; a number within a hundredth). *Largest error* is a
logit's, over the largest logit."""
_COMPARED = {
    "dataset": "dataset",
    "dtype": "dtype",
    "metric": "metric",
    "value": "value",
    "same": "same answers",
    "logit_error": "largest error",
}
_PROFILE = {"dtype": "dtype", "operation": "operation", "share": "share of the time"}


def by_rung(rows: Sequence[Mapping[str, Any]]) -> dict[str, list[dict[str, Any]]]:
    """What was measured of a running server, for a screen: rows of each section's columns."""
    return {
        title: [{name: row[name] for name in ("dataset", *columns) if name in row} for row in own]
        for title, columns, own in live_table.sections(rows)
    }


def goals(rows: Sequence[Mapping[str, Any]]) -> str:
    """What was asked for, predicted and measured, a line each."""
    head = ("ratio", "dataset", "asked for", "predicted", "measured")
    lines = [
        (goal.title, where, goal.asked, f"{goal.predicted:.2f}", f"{value:.2f}")
        for goal in GOALS
        for where, value in _measured(goal, rows)
    ]
    return _markdown(head, lines)


def _measured(goal: Goal, rows: Sequence[Mapping[str, Any]]) -> Iterator[tuple[str, float]]:
    for row in rows:
        if goal.ratio in row and goal.wanted.items() <= row.items():
            is_live = live_table.is_live(row)
            more = f", {row['adapters']:,} adapters, {row['dtype']}" if is_live else ""
            yield row["dataset"] + more, row[goal.ratio]


def table(columns: Mapping[str, str], rows: Sequence[Mapping[str, Any]]) -> str:
    """Rows as Markdown, without columns that are empty."""
    used = {name: title for name, title in columns.items() if any(name in row for row in rows)}
    return _markdown(
        list(used.values()), [[_text(name, row.get(name)) for name in used] for row in rows]
    )


def _markdown(head: Sequence[str], lines: Sequence[Sequence[str]]) -> str:
    rule = ["---" if not i else "---:" for i in range(len(head))]
    return "\n".join("| " + " | ".join(line) + " |" for line in [head, rule, *lines])


def _text(name: str, value: Any) -> str:
    if value is None:
        return ""
    if isinstance(value, float):
        return f"{value:,.{_DECIMALS.get(name, 2)}f}"
    return f"{value:,}" if isinstance(value, int) else str(value)


def _size(row: Mapping[str, Any]) -> str:
    return f"{row['rows']:.0f} rows and {row['tokens']:,.0f} tokens a batch (medians)."


def _pictures(rows: Rows, timed: Rows, folder: Path) -> Iterator[str]:
    if timed:
        yield _picture(pictures.draw_adapters(timed, folder), "Rows per second by adapters")
        yield _picture(pictures.draw_rungs(timed, folder), "The rungs beside each other")
    if opened := [row for row in rows if row.get("load") == "open"]:
        yield _picture(pictures.draw_waits(opened, folder), "Latency by offered load")


def _picture(file: Path, title: str) -> str:
    return f"![{title}]({PICTURES}/{file.name})"
