"""What kind of question a file asks: given, or decided by its targets."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

from skhost.uploads.cells import LIST_SEPARATORS, is_json_list
from skhost.uploads.columns import Columns
from skhost.uploads.excerpt import excerpt, listing
from skhost.uploads.records import MISSING
from sktuning.config import Task

FEW_VALUES = 200  # whole numbers: more different ones than this cannot well be classes
MANY_SHARE = 0.5  # or more different ones than this share of the rows, beyond a handful
HANDFUL = 20
NUMBERS_SHARE = 0.9  # of the targets; the others are then bad rows of a regression


@dataclass(frozen=True, slots=True)
class Decision:
    """The task, and why, in words for the report."""

    task: Task
    reason: str


def decide_task(
    given: Task | None, columns: Columns, targets: Sequence[object], *, is_text: bool
) -> Decision:
    """The task of a file whose targets are given as found.

    Args:
        is_text: the file's cells are all text, so numbers and lists must be recognised.
    """
    if given is not None:
        return Decision(given, "named by the request")
    if columns.tokens is not None:
        return Decision(Task.TOKENS, f"columns {listing((columns.tokens, columns.target))}")
    present = [value for value in targets if _is_present(value)]
    lists = sum(isinstance(value, list) for value in present)
    if lists * 2 > len(present):
        return Decision(Task.MULTI_LABEL, "the labels are lists")
    if is_text and columns.is_plural and find_separator(present) is not None:
        return Decision(Task.MULTI_LABEL, f"cells of {excerpt(columns.target)} hold several")
    return _by_numbers(columns, present, is_text)


def find_separator(targets: Sequence[object]) -> str | None:
    """What separates labels within text cells: "[" for JSON arrays, else `|`, `;` or `,`."""
    texts = [value for value in targets if isinstance(value, str)]
    if any(is_json_list(text) for text in texts):
        return "["
    return next((s for s in LIST_SEPARATORS if any(s in text for text in texts)), None)


def _is_present(value: object) -> bool:
    is_nan = isinstance(value, float) and math.isnan(value)
    return not is_nan and value is not MISSING and value is not None and value != ""


def _by_numbers(columns: Columns, present: Sequence[object], is_text: bool) -> Decision:
    numbers = [number_in(value, is_text=is_text) for value in present]
    found = [number for number in numbers if number is not None]
    if not found or len(found) < NUMBERS_SHARE * len(numbers):
        return Decision(Task.SINGLE_LABEL, "the targets are names")
    if columns.is_score:
        reason = f"the column {excerpt(columns.target)} holds numbers"
        return Decision(Task.REGRESSION, reason)
    if not all(number.is_integer() for number in found):
        return Decision(Task.REGRESSION, "the targets are numbers with fractions")
    different = len(set(found))
    is_handful = different <= HANDFUL or different <= MANY_SHARE * len(found)
    if len(found) < len(numbers) or (different <= FEW_VALUES and is_handful):
        return Decision(Task.SINGLE_LABEL, f"the targets are {different} whole numbers or names")
    return Decision(Task.REGRESSION, f"the targets are {different:,} different numbers")


def number_in(value: object, *, is_text: bool) -> float | None:
    """The finite number that a target is, or that a text cell spells; else None."""
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    if not is_number and not (is_text and isinstance(value, str) and "_" not in value):
        return None
    try:
        number = float(value)  # type: ignore[arg-type]  # a number or a text, by the line above
    except (ValueError, OverflowError):
        return None
    return number if math.isfinite(number) else None
