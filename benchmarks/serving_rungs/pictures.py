"""The rungs as pictures: rows a second over the number of adapters, and rung beside rung."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

Rows = Sequence[Mapping[str, Any]]

_MARKERS = {"one": "o", "uniform": "s", "zipf": "^", "distinct": "x"}


def draw_adapters(rows: Rows, folder: Path) -> Path:
    """How fast the engine is beside the base, by adapters and popularity; a panel a dataset."""
    datasets = list(dict.fromkeys(row["dataset"] for row in rows))
    figure, axes = _panels(len(datasets))
    for axis, dataset in zip(axes, datasets, strict=True):
        for dtype in dict.fromkeys(row["dtype"] for row in rows):
            for pattern, marker in _MARKERS.items():
                _line(axis, rows, dataset, dtype, pattern, marker)
        axis.set(title=dataset, xlabel="adapters", xscale="log", ylim=(0, 1.2))
        axis.grid(alpha=0.3)
    axes[0].set(ylabel="rows/s ÷ base without adapters")
    axes[-1].legend(fontsize="small", loc="lower right")
    return _save(figure, folder / "serving-adapters.svg")


def draw_rungs(rows: Rows, folder: Path) -> Path:
    """GFLOP/s of the linear layers on every rung; the engine with one adapter."""
    datasets = list(dict.fromkeys(row["dataset"] for row in rows))
    figure, axes = _panels(len(datasets))
    for axis, dataset in zip(axes, datasets, strict=True):
        shown = [
            row for row in rows if row["dataset"] == dataset and row.get("pattern", "one") == "one"
        ]
        axis.bar(
            [f"{row['rung']}\n{row['dtype']}" for row in shown],
            [row["gflop_per_s"] for row in shown],
            color=["#1f4e79" if row["dtype"] == "float32" else "#c0392b" for row in shown],
        )
        axis.set(title=dataset)
        axis.tick_params(axis="x", labelsize="x-small", rotation=60)
    axes[0].set(ylabel="GFLOP/s of the linear layers")
    return _save(figure, folder / "serving-rungs.svg")


def draw_waits(rows: Rows, folder: Path) -> Path:
    """How long single texts take, by the load that is offered; a panel a dataset."""
    datasets = list(dict.fromkeys(row["dataset"] for row in rows))
    figure, axes = _panels(len(datasets))
    for axis, dataset in zip(axes, datasets, strict=True):
        own = [row for row in rows if row["dataset"] == dataset]
        for count in dict.fromkeys(row["adapters"] for row in own):
            found = [row for row in own if row["adapters"] == count]
            for percent, marker in (("p50", "o"), ("p99", "^")):
                axis.plot(
                    [row["offered"] for row in found],
                    [row[f"{percent}_ms"] for row in found],
                    label=f"{percent}, {count:,} adapters",
                    marker=marker,
                    markersize=4,
                    linewidth=1,
                )
        axis.set(title=dataset, xlabel="offered ÷ saturation", yscale="log")
        axis.grid(alpha=0.3)
    axes[0].set(ylabel="ms")
    axes[-1].legend(fontsize="small", loc="upper left")
    return _save(figure, folder / "serving-waits.svg")


def _line(axis: Any, rows: Rows, dataset: str, dtype: str, pattern: str, marker: str) -> None:
    wanted = {"rung": "engine", "dataset": dataset, "dtype": dtype, "pattern": pattern}
    found = [row for row in rows if wanted.items() <= row.items() and "to_base" in row]
    if not found:
        return
    colour = "#1f4e79" if dtype == "float32" else "#c0392b"
    axis.plot(
        [row["adapters"] for row in found],
        [row["to_base"] for row in found],
        label=f"{pattern}, {dtype}",
        color=colour,
        marker=marker,
        markersize=4,
        linewidth=1,
    )


def _panels(count: int) -> tuple[Any, Sequence[Any]]:
    from matplotlib.figure import Figure  # needed for pictures only

    figure = Figure(figsize=(4 * count + 1, 4), layout="constrained")
    return figure, figure.subplots(1, count, sharey=True, squeeze=False)[0]


def _save(figure: Any, file: Path) -> Path:
    from matplotlib import rc_context

    file.parent.mkdir(parents=True, exist_ok=True)
    with rc_context({"svg.hashsalt": "skhost"}):  # the same figures make the same file
        figure.savefig(file, metadata={"Date": None})
    return file
