"""Label names: what can be one, and which of them look alike."""

import math
import unicodedata
from collections import Counter
from collections.abc import Iterable, Mapping

from skhost.uploads.excerpt import excerpt, kind_of, listing
from skhost.uploads.problems import BadCell, Findings
from skhost.uploads.records import MISSING
from skhost.uploads.texts import check_characters, has_controls, is_blank

# Cyrillic and Greek letters that look like a Latin one, after case folding.
_LOOKALIKES = str.maketrans(
    "\u0430\u0435\u043e\u0440\u0441\u0443\u0445\u0456\u0458\u0455\u04bb\u0501"
    "\u03b1\u03bf\u03c1\u03bd\u03b9\u03ba\u03c5\u03c7",
    "aeopcyxijshdaopvikux",
)
_SKIN_TONES = frozenset(map(chr, range(0x1F3FB, 0x1F400)))
_VARIATIONS = frozenset(map(chr, range(0xFE00, 0xFE10)))  # an emoji as text or as picture
_INVISIBLE = frozenset({"Cf", "Cc"})
MAX_DIGITS = 5000  # Python parses no longer whole number


def checked_label(value: object, max_chars: int) -> str:
    """A label's name from a target of any JSON kind, without outer white space.

    Numbers and truth values become their JSON spelling; `odd_kinds` tells where kinds mix.

    Raises:
        BadCell: absent, empty, a list or an object, too long, or with NUL or lone surrogates.
    """
    if value is MISSING:
        raise BadCell("label_missing", "there is no label")
    if value is None or (isinstance(value, float) and math.isnan(value)):
        raise BadCell("label_null", "the label is null")
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int | float):
        value = repr(value)
    if not isinstance(value, str):
        raise BadCell("label_type", f"the label is {kind_of(value)}, not one name")
    check_characters(value, "label", max_chars)
    if is_blank(value):
        reason = "has only blanks or characters that cannot be seen" if value else "is empty"
        raise BadCell("label_empty", f"the label {reason}")
    return value.strip()


def kind_key(value: object) -> str:
    """Kinds of labels that must not be mixed: "1", 1, 1.0 and true are four."""
    return type(value).__name__


def usual_kind(values: Iterable[object]) -> str:
    """The kind most targets have; text when it is among equals."""
    counts = Counter(kind_key(value) for value in values if isinstance(value, str | int | float))
    return max(counts, key=lambda kind: (counts[kind], kind == "str"), default="str")


def mixed_kind(value: object, usual: str) -> BadCell:
    """The error for a label of another kind than most."""
    names = {"str": "text", "int": "whole number", "float": "fraction", "bool": "truth value"}
    spelt = excerpt(value, 30) if isinstance(value, str) else checked_label(value, MAX_DIGITS)
    message = (
        f"the label is the {names[kind_key(value)]} {spelt:.30} where most labels are "
        f"{names[usual]}s; write all of them alike"
    )
    return BadCell("label_kind", message)


def look_of(label: str) -> str:
    """What remains of a label for the eye: no case, widths, skin tones or invisibles."""
    composed = unicodedata.normalize("NFKC", label)
    visible = "".join(char for char in composed if not _is_dropped(char))
    return " ".join(visible.casefold().translate(_LOOKALIKES).split())


def _is_dropped(char: str) -> bool:
    is_modifier = char in _SKIN_TONES or char in _VARIATIONS
    return is_modifier or unicodedata.category(char) in _INVISIBLE


def warn_of_labels(counts: Mapping[str, int], findings: Findings) -> None:
    """Warns of labels that look alike, have one row, or hold control characters."""
    looks: dict[str, list[str]] = {}
    for label in counts:
        looks.setdefault(look_of(label), []).append(label)
    for alike in looks.values():
        if len(alike) > 1:
            message = f"these labels look like one: {listing(alike)}; they are kept apart"
            findings.warn("labels_look_alike", message, count=len(alike))
    singles = [label for label, count in counts.items() if count == 1]
    if singles:
        message = f"labels with one row can be neither learned nor judged: {listing(singles)}"
        findings.warn("label_with_one_row", message, count=len(singles))
    odd = [label for label in counts if has_controls(label) or "\n" in label or "\t" in label]
    if odd:
        message = f"labels with line feeds or control characters, kept: {listing(odd)}"
        findings.warn("label_control_characters", message, count=len(odd))
