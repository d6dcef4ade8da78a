"""Texts that can be learned from; nothing here changes one."""

import re
import unicodedata

from skhost.uploads.excerpt import kind_of
from skhost.uploads.problems import BadCell
from skhost.uploads.records import MISSING

_INVISIBLE = frozenset({"Cc", "Cf"})  # controls; zero-width and other format characters
_SURROGATE = re.compile("[\ud800-\udfff]")
_CONTROL = re.compile("[\x01-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f]")


def checked_text(value: object, name: str, max_chars: int) -> str:
    """`value` as it is.

    Raises:
        BadCell: absent, not a text, empty to the eye, too long, or with characters that no
            tokenizer or database takes.
    """
    if value is MISSING:
        raise BadCell(f"{name}_missing", f"there is no {name}")
    if value is None:
        raise BadCell(f"{name}_null", f"the {name} is null")
    if not isinstance(value, str):
        raise BadCell(f"{name}_type", f"the {name} is {kind_of(value)}, not a text")
    check_characters(value, name, max_chars)
    if is_blank(value):
        reason = "has only blanks or characters that cannot be seen" if value else "is empty"
        raise BadCell(f"{name}_empty", f"the {name} {reason}")
    return value


def check_characters(value: str, name: str, max_chars: int) -> None:
    """Refuses what is too long, NUL and lone surrogates.

    Raises:
        BadCell: one of them was found.
    """
    if len(value) > max_chars:
        message = f"the {name} has {len(value):,} characters; at most {max_chars:,} are read"
        raise BadCell(f"{name}_too_long", message)
    if "\0" in value:
        many = "NUL bytes" if value.count("\0") > 1 else "a NUL byte"
        raise BadCell("nul_byte", f"the {name} contains {many}; remove what is not text")
    if not value.isascii() and _SURROGATE.search(value):
        raise BadCell("lone_surrogate", f"the {name} contains half a surrogate pair (\\uD800…)")


def is_blank(text: str) -> bool:
    """Whether nothing in the text can be seen."""
    stripped = text.strip()
    if stripped and stripped[0].isprintable():
        return False
    return all(char.isspace() or unicodedata.category(char) in _INVISIBLE for char in stripped)


def has_controls(text: str) -> bool:
    """Whether there are control characters that do not belong in a text; they do no harm."""
    return _CONTROL.search(text) is not None


def normal_text(text: str) -> str:
    """The text by which repeats are found: lower-cased, white space collapsed."""
    return " ".join(text.lower().split())
