"""docs/method.md: the contest as a page; what people wrote between its marks is kept."""

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from contest import ablation, pictures, table, verdict
from contest.bases import title_of
from contest.rates import ENTRANTS
from contest.run import Outcome
from contest.search import Trial

PICTURES = "pictures"
BY_HAND = re.compile(r"<!-- by hand -->\n.*?<!-- end -->\n", re.DOTALL)
_EMPTY = "<!-- by hand -->\n<!-- end -->\n"
_INTRODUCTION = """\
# SK-Tuning beside other methods

Written by `benchmarks/method.py`; every figure in a table was measured by it.

All methods have the same head on the same pooled vector (the mean over the text's own tokens; the
words' first tokens where words are labelled), started by the same fit on what the base says with
the untrained method in place, with the same dropout and the same rate. They see the same rows in
the same order and batches, for the same epochs, with the same schedule, clipping and weight decay.
Only the rate of the method's own parameters differs: it is the best of three on trec, by held-out
rows; those of MiniLM are SmolLM2's, too. The prompt methods have as many virtual tokens as the SK
prompt has words; LoRA has alpha 16; PEFT's other choices are its defaults. SK-Tuning runs through
this project's packed forward, the others through the stock model, padded to the longest row of the
batch, with PyTorch's fused attention. "PEFT's own head" is PEFT as its users have it: its model for
classification, with a random head and with dropout in the base. Full fine-tuning has dropout in the
base, too.

- **test**: the metric of the test rows after the last step; the mean and, over several seeds, the
  standard deviation.
- **trained**: trained numbers, the head's among them.
- **seconds**: of the optimiser steps: forward, backward, update. No evaluation, no warm start.
  Where a run has one thread it is the processor's time, so that runs can go side by side.
- **to PREFIX_TUNING**: seconds until the held-out rows' score was where PREFIX_TUNING's ended with
  the same seed, warm start included, as far as evaluations at fixed steps tell; and in how many of
  the seeds it ever was.
- **peak**: the most memory that the run's own process had while it trained, base and libraries
  included: the logistic head's is about what they take.
- **artifact**: what serving needs beside the base, head included, as safetensors.
"""
_COLUMNS = (
    *("method", "test", "trained", "seconds", "to PREFIX_TUNING"),
    *("rows/s", "peak MB", "artifact", "rate"),
)


def write(
    file: Path,
    outcomes: Sequence[Outcome],
    trials: Sequence[Trial],
    tried: Sequence[Outcome],
    ablated: Sequence[Outcome] = (),
) -> None:
    """Write the page, and the pictures into a folder beside it.

    Args:
        outcomes: the contest.
        trials: the search for learning rates, by method.
        tried: the runs of the search.
        ablated: the runs of the ablation; none: there is no section of it.
    """
    sections = [_INTRODUCTION, _machines([*outcomes, *tried]), _verdict(outcomes), _kept(file)]
    for setting, groups in table.grouped(outcomes).items():
        name = _file_name(setting)
        pictures.draw(table.title(groups[0][0]), groups, file.parent / PICTURES / name)
        sections.append(_section(groups, name))
    if ablated:
        sections.append(_ablation(ablated))
    sections.append(_search(trials, tried))
    file.write_text("\n".join(sections), encoding="utf-8")


def _verdict(outcomes: Sequence[Outcome]) -> str:
    """Differences over all settings below, and the time to PREFIX_TUNING's score."""
    lines = ["## Beside each other", "", _markdown(verdict.as_rows(outcomes))]
    if ratio := verdict.median_time_ratio(outcomes):
        count = len(verdict.time_ratios(outcomes))
        lines += [
            "",
            f"Time to PREFIX_TUNING's final score, SK-prefix ÷ PREFIX_TUNING: median {ratio} "
            f"of {count} pairs of runs of the same rows and seed.",
        ]
    return "\n".join(lines) + "\n"


def _kept(file: Path) -> str:
    """What stands between the marks of the page that is there."""
    found = BY_HAND.search(file.read_text(encoding="utf-8")) if file.is_file() else None
    return found[0] if found else _EMPTY


def _ablation(outcomes: Sequence[Outcome]) -> str:
    first = outcomes[0]
    about = (
        f"SK-prefix on {title_of(first.run.base)} with one default changed at a time; scores of "
        "held-out rows in points, as the contest's runs have them: their loop, and the last step's "
        "state. *to default*: the mean difference over the settings."
    )
    tuned = (
        "The default beside the variant that the held-out rows of a dataset prefer, by its test "
        "rows: what somebody who tries all of them would win. Means of the seeds that both have; "
        "the first one chose."
    )
    alike = [outcome for outcome in outcomes if not outcome.run.as_product]
    again = ablation.product_rows([outcome for outcome in outcomes if outcome.run.as_product])
    tables = [_markdown(rows(alike)) for rows in (ablation.as_rows, ablation.tuned_rows)]
    parts = ["## Defaults", about, tables[0], tuned, tables[1]]
    if again:
        parts += [
            "Where the default is more than a point behind, the same rows as the product trains: "
            "as long as it gets better, with the best evaluation's state kept.",
            _markdown(again),
        ]
    return "\n\n".join(parts) + "\n"


def _markdown(rows: Sequence[Mapping[str, Any]]) -> str:
    names = list(rows[0]) if rows else []
    head = [f"| {' | '.join(names)} |", "|---" + "|---:" * (len(names) - 1) + "|"]
    cells = [["" if row[name] is None else f"{row[name]}" for name in names] for row in rows]
    return "\n".join([*head, *(f"| {' | '.join(line)} |" for line in cells)])


def _section(groups: Sequence[Sequence[Outcome]], picture: str) -> str:
    first = groups[0][0]
    rows = table.as_rows([outcome for group in groups for outcome in group])
    about = (
        f"{first.metric} on {first.test_rows:,} test rows; {first.held_out_rows} held-out rows; "
        f"{first.virtual_tokens} virtual tokens."
    )
    curves = f"![Learning curves]({PICTURES}/{picture})"
    return "\n\n".join([f"## {table.title(first)}", about, _table(rows), curves]) + "\n"


def _table(rows: Sequence[Mapping[str, Any]]) -> str:
    head = f"| {' | '.join(_COLUMNS)} |"
    rule = "|---" + "|---:" * (len(_COLUMNS) - 1) + "|"
    return "\n".join([head, rule, *map(_line, rows)])


def _line(row: Mapping[str, Any]) -> str:
    sd = "" if row["sd"] is None else f" ± {100 * row['sd']:.1f}"
    reached = "" if row["reach_s"] is None else f"{row['reach_s']:.1f} "
    cells = (
        row["method"],
        f"{100 * row['mean']:.1f}{sd}",
        f"{row['trainable']:,}",
        f"{row['seconds']:.1f}",
        reached + (f"({row['reached']})" if row["reached"] else ""),
        "" if row["rows_per_s"] is None else f"{row['rows_per_s']:.1f}",
        f"{row['peak_mb']:,}",
        _size(row["artifact_bytes"]),
        "" if row["learning_rate"] is None else f"{row['learning_rate']:g}",
    )
    return f"| {' | '.join(cells)} |"


def _size(count: int) -> str:
    return f"{count / 1e6:,.1f} MB" if count >= 1e6 else f"{count / 1e3:,.0f} kB"


def _search(trials: Sequence[Trial], tried: Sequence[Outcome]) -> str:
    if not tried:
        return "## Learning rates\n\nNot searched: every method's customary rate.\n"
    first = tried[0]
    lines = [
        f"## Learning rates\n\nHeld-out {first.metric} after {first.run.epochs} epochs on "
        f"{first.train_rows:,} rows of {first.run.dataset}, {first.held_out_rows} held-out rows; "
        "the best of each method, in bold, is used everywhere. \\* is the highest or lowest "
        "that was tried.\n",
        "| base | method | low | middle | high |\n|---|---|---|---|---|",
        *(_trial(trial) for trial in trials),
    ]
    return "\n".join(lines) + "\n"


def _trial(trial: Trial) -> str:
    cells = []
    for rate, score in sorted(trial.scores.items()):
        text = f"{rate:g}: {100 * score:.1f}"
        if trial.is_complete and rate == trial.best:
            text = f"**{text}**" + ("\\*" if trial.is_at_the_end else "")
        cells.append(text)
    cells += [""] * (len(ENTRANTS[trial.method].rates) - len(cells))
    base = title_of(trial.base)
    return f"| {base} | {ENTRANTS[trial.method].title} | {' | '.join(cells)} |"


def _machines(outcomes: Sequence[Outcome]) -> str:
    """Every machine and set of versions that the runs name, each with its days."""
    days: dict[str, set[str]] = {}
    for outcome in outcomes:
        named = dict(outcome.machine)
        day = str(named.pop("date", ""))
        days.setdefault(_machine(named), set()).add(day)
    lines = [f"- {text}; {_span(found)}" for text, found in days.items()]
    return "Measured on:\n\n" + "\n".join(lines) + "\n"


def _machine(named: Mapping[str, Any]) -> str:
    return ", ".join(f"{name} {value}" for name, value in named.items())


def _span(days: set[str]) -> str:
    first, last = min(days), max(days)
    return first if first == last else f"{first} to {last}"


def _file_name(setting: table.Setting) -> str:
    base, dataset, _, shots = setting
    few = f"-{shots}-a-label" if shots else ""
    return f"method-{Path(base).name}-{dataset}{few}.svg"
