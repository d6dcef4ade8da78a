"""Rows that are there more than once: by id, or by text."""

from collections.abc import Sequence

from skhost.uploads.excerpt import excerpt
from skhost.uploads.problems import Findings
from skhost.uploads.targets import LabelledRow

LISTED = 8


def settle_repeats(
    rows: Sequence[LabelledRow], id_column: str | None, findings: Findings
) -> list[LabelledRow]:
    """The rows without whole copies under one id; conflicts are noted as errors.

    Rows that only share their text stay; a warning says whether their targets agree.
    """
    kept, bad = _by_id(rows, id_column, findings)
    _warn_of_texts(kept, findings)
    return [item for item in kept if item.where not in bad]


def _by_id(
    rows: Sequence[LabelledRow], column: str | None, findings: Findings
) -> tuple[list[LabelledRow], set[int]]:
    """What is left without copies, and the places whose id stands for two different rows."""
    first: dict[tuple[str, str], LabelledRow] = {}
    copies: list[tuple[int, int]] = []
    kept, bad = [], set()
    for item in rows:
        earlier = item if item.row.id is None else first.setdefault(item.row.id, item)
        if earlier is item:
            kept.append(item)
        elif earlier.example == item.example:
            copies.append((item.where, earlier.where))
        else:
            kept.append(item)
            bad |= {item.where, earlier.where}
            _note_conflict(item, earlier, column, findings)
    if copies:
        message = f"whole copies of an earlier row, kept once: {_shown(copies, findings)}"
        findings.warn("exact_copy", message, count=len(copies))
    return kept, bad


def _note_conflict(
    item: LabelledRow, earlier: LabelledRow, column: str | None, findings: Findings
) -> None:
    what = "text" if item.row.key != earlier.row.key else "target"
    name = excerpt(item.row.id[1], 40) if item.row.id else ""
    message = (
        f"the id {name} is on {findings.place(earlier.where)} with another {what}, "
        f"so neither row is used; correct one, or have the column ignored (ignore_columns)"
    )
    findings.bad_row("id_conflict", message, item.where, column)
    findings.bad.add(earlier.where)


def _warn_of_texts(rows: Sequence[LabelledRow], findings: Findings) -> None:
    first: dict[str, LabelledRow] = {}
    same: list[tuple[int, int]] = []
    other: list[tuple[int, int]] = []
    for item in rows:
        earlier = first.setdefault(item.row.key, item)
        if earlier is not item:
            agrees = earlier.example.target == item.example.target
            (same if agrees else other).append((item.where, earlier.where))
    if same:
        message = f"text and target repeat an earlier row, both are kept: {_shown(same, findings)}"
        findings.warn("repeated_text", message, count=len(same))
    if other:
        message = f"an earlier row has the same text with another target: {_shown(other, findings)}"
        findings.warn("contradictory_targets", message, count=len(other))


def _shown(pairs: Sequence[tuple[int, int]], findings: Findings) -> str:
    shown = ", ".join(f"{findings.place(late)} (as {early})" for late, early in pairs[:LISTED])
    more = len(pairs) - LISTED
    return f"{shown} and {more:,} more" if more > 0 else shown
