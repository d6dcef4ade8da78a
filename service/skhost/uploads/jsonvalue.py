"""JSON parsing that hides nothing: repeated keys, deep nesting and huge numbers are errors."""

import json
from typing import Any

from skhost.uploads.excerpt import excerpt, kind_of
from skhost.uploads.problems import BadCell


class RepeatedKey(dict[str, Any]):
    """An object in which a key came more than once; holds the last value of each."""

    repeated: str = ""


def make_decoder() -> json.JSONDecoder:
    """A decoder whose objects are `RepeatedKey` where a key came twice."""
    return json.JSONDecoder(object_pairs_hook=_object)


def parse_object(text: str, decoder: json.JSONDecoder, max_depth: int) -> dict[str, Any]:
    """One row written as a JSON object.

    Raises:
        BadCell: not JSON, not an object, or an object that hides something.
    """
    try:
        value = decoder.decode(text)
    except json.JSONDecodeError as error:
        reason = f"not valid JSON: {error.msg} at character {error.pos + 1}"
        raise BadCell("invalid_json", reason) from error
    except RecursionError as error:
        raise too_deep(max_depth) from error
    except ValueError as error:  # an integer of thousands of digits
        raise BadCell("invalid_json", "not valid JSON: a number is too long") from error
    return checked_object(value, text, max_depth)


def checked_object(value: object, text: str, max_depth: int) -> dict[str, Any]:
    """`value` if it is an object that hides nothing; `text` is what it was parsed from."""
    if not isinstance(value, dict):
        raise BadCell("not_an_object", f"the row is {kind_of(value)}, not an object")
    if isinstance(value, RepeatedKey):
        message = f"the object has the key {excerpt(value.repeated)} more than once"
        raise BadCell("repeated_key", message)
    # Brackets inside texts count too, so this only says whether a closer look is needed.
    if text.count("[") + text.count("{") > max_depth and _is_deeper(value, max_depth):
        raise too_deep(max_depth)
    return value


def too_deep(max_depth: int) -> BadCell:
    """The error for values nested beyond the limit."""
    return BadCell("too_deep", f"values are nested more than {max_depth} deep")


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    value = dict(pairs)
    if len(value) == len(pairs):
        return value
    seen: set[str] = set()
    repeated = RepeatedKey(value)
    repeated.repeated = next(key for key, _ in pairs if key in seen or seen.add(key))  # type: ignore[func-returns-value]
    return repeated


def _is_deeper(value: object, levels: int) -> bool:
    layer = [value]
    for _ in range(levels + 1):
        layer = [inner for outer in layer for inner in _inside(outer)]
        if not layer:
            return False
    return True


def _inside(value: object) -> list[object]:
    if isinstance(value, dict):
        return list(value.values())
    return value if isinstance(value, list) else []
