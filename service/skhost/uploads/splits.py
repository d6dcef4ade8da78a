"""Which rows are learned from and which are held out: as the file says, or drawn with a seed."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from skhost.uploads.excerpt import excerpt, kind_of
from skhost.uploads.problems import Findings
from skhost.uploads.targets import LabelledRow
from sktuning.config import Task

Part = Literal["train", "held_out", "test"]
FRACTION = 0.1
MAX_HELD_OUT = 2000  # groups; more would make every evaluation slow and judge no better
FEW = 3  # rows a label should be judged by, where it has enough of them
NUM_BINS = 10  # quantiles of a regression's targets
MIN_BIN = 8  # texts a quantile, where there are few
_PARTS: Mapping[str, Part] = {
    **dict.fromkeys(("train", "training"), "train"),
    **dict.fromkeys(
        ("dev", "development", "validation", "valid", "val", "eval", "evaluation", "held_out"),
        "held_out",
    ),
    **dict.fromkeys(("test", "testing"), "test"),
}


@dataclass(frozen=True, slots=True)
class Parts:
    """Rows by part."""

    train: tuple[LabelledRow, ...]
    held_out: tuple[LabelledRow, ...] = ()
    test: tuple[LabelledRow, ...] = ()


def split_by_column(rows: Sequence[LabelledRow], column: str, findings: Findings) -> Parts:
    """Parts as the file's own column names them; other names are noted as bad rows."""
    parts: dict[Part, list[LabelledRow]] = {"train": [], "held_out": [], "test": []}
    for item in rows:
        value = item.row.split
        part = _PARTS.get(value.strip().casefold()) if isinstance(value, str) else None
        if part is not None:
            parts[part].append(item)
            continue
        seen = excerpt(value, 30) if isinstance(value, str) else kind_of(value)
        message = f"the split is {seen}; known are train, dev (validation) and test"
        findings.bad_row("unknown_split", message, item.where, column)
    return Parts(tuple(parts["train"]), tuple(parts["held_out"]), tuple(parts["test"]))


def draw_held_out(
    rows: Sequence[LabelledRow], task: Task, *, fraction: float | None, seed: int
) -> Parts:
    """Rows drawn at random within each stratum; the same text is always on one side.

    Every label keeps at least one row to learn from. A stratum is a label; where a row has
    several labels or tags, its rarest one; for numbers, a quantile.
    """
    groups = _groups(rows)
    share = _share(len(groups), fraction)
    drawn: set[int] = set()
    for strata in (_strata(groups, task), [""] * len(groups)):  # every stratum may be too small
        takes = {name: _take(size, share) for name, size in Counter(strata).items()}
        drawn = drawn or _draw(strata, takes, seed)
        _return_last_of_a_label(groups, drawn)
    held_out = {item.where for index in drawn for item in groups[index]}
    return Parts(
        tuple(item for item in rows if item.where not in held_out),
        tuple(item for item in rows if item.where in held_out),
    )


def warn_of_overlap(parts: Parts, findings: Findings) -> None:
    """Warns of held-out texts that are also learned from, and of labels without such rows."""
    learned = {item.row.key for item in parts.train}
    judged = (*parts.held_out, *parts.test)
    if overlap := sum(item.row.key in learned for item in judged):
        message = f"{overlap:,} held-out rows have a text that is also learned from"
        findings.warn("held_out_overlap", message, count=overlap)
    known = {name for item in parts.train for name in item.names}
    unknown = sorted({name for item in judged for name in item.names} - known)
    if unknown:
        message = f"labels without a row to learn from, such as {excerpt(unknown[0])}"
        findings.warn("label_only_held_out", message, count=len(unknown))


def _groups(rows: Sequence[LabelledRow]) -> list[list[LabelledRow]]:
    by_key: dict[str, list[LabelledRow]] = {}
    for item in rows:
        by_key.setdefault(item.row.key, []).append(item)
    return list(by_key.values())


def _strata(groups: Sequence[Sequence[LabelledRow]], task: Task) -> list[str]:
    if task is Task.REGRESSION:
        values = np.array([group[0].example.target for group in groups], dtype=float)
        num_bins = max(1, min(NUM_BINS, len(groups) // MIN_BIN))
        edges = np.unique(np.quantile(values, np.linspace(0, 1, num_bins + 1)[1:-1]))
        return [str(index) for index in np.searchsorted(edges, values, side="right")]
    names = [sorted({name for item in group for name in item.names}) for group in groups]
    counts = Counter(name for each in names for name in each)
    return [min(each, key=lambda name: (counts[name], name), default="") for each in names]


def _share(num_groups: int, fraction: float | None) -> float:
    if fraction is not None:
        return fraction
    return min(FRACTION, MAX_HELD_OUT / max(num_groups, 1))


def _take(size: int, share: float) -> int:
    """How many of a stratum's groups are held out; one of a single group is never."""
    few = min(FEW, max(1, size // 4))
    return min(max(round(size * share), few), size // 2)


def _draw(strata: Sequence[str], takes: Mapping[str, int], seed: int) -> set[int]:
    order = np.random.default_rng(seed).permutation(len(strata))
    left, drawn = dict(takes), set()
    for index in order.tolist():
        if left[strata[index]] > 0:
            left[strata[index]] -= 1
            drawn.add(index)
    return drawn


def _return_last_of_a_label(groups: Sequence[Sequence[LabelledRow]], drawn: set[int]) -> None:
    """Gives groups back until every label can be learned."""
    learned = {
        name
        for index, group in enumerate(groups)
        if index not in drawn
        for item in group
        for name in item.names
    }
    for index in sorted(drawn):
        names = {name for item in groups[index] for name in item.names}
        if names - learned:
            drawn.discard(index)
            learned |= names
