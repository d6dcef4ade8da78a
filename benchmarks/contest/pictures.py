"""Learning curves as pictures: the held-out rows' score over the seconds of training."""

from collections.abc import Sequence
from pathlib import Path
from statistics import fmean
from typing import Any

from contest import rates
from contest.rates import ENTRANTS
from contest.run import Outcome

_COLOURS = {
    rates.SK_PREFIX: "#c0392b",
    rates.SK_PROMPT: "#e67e22",
    rates.PREFIX: "#1f4e79",
    rates.PROMPT: "#2e86c1",
    rates.PROMPT_WORDS: "#85c1e9",
    rates.P_TUNING: "#117a65",
    rates.LORA: "#7d3c98",
    rates.OWN_HEAD: "#909497",
    rates.LOGISTIC: "#000000",
    rates.FULL: "#6e2c00",
}


def draw(title: str, groups: Sequence[Sequence[Outcome]], file: Path) -> None:
    """One picture of one setting, a line a method: the means of its seeds."""
    from matplotlib import rc_context  # needed for pictures only
    from matplotlib.figure import Figure

    figure = Figure(figsize=(8, 4.5), layout="constrained")
    axes = figure.add_subplot()
    for group in groups:
        _line(axes, group)
    axes.set(title=title, xlabel="seconds of training", ylabel=f"held-out {groups[0][0].metric}")
    axes.grid(alpha=0.3)
    axes.legend(fontsize="small", loc="center left", bbox_to_anchor=(1.0, 0.5))
    file.parent.mkdir(parents=True, exist_ok=True)
    with rc_context({"svg.hashsalt": "skhost"}):  # the same curves make the same file
        figure.savefig(file, metadata={"Date": None})


def _line(axes: Any, group: Sequence[Outcome]) -> None:
    method = group[0].run.method
    label, colour = ENTRANTS[method].title, _COLOURS[method]
    points = list(zip(*(outcome.curve for outcome in group), strict=True))
    seconds = [fmean(p.seconds for p in at) for at in points]
    scores = [fmean(p.score for p in at) for at in points]
    if len(points) == 1:  # nothing was trained after the warm start
        axes.axhline(scores[0], label=label, color=colour, linestyle=":")
    else:
        axes.plot(seconds, scores, label=label, color=colour, marker="o", markersize=3)
