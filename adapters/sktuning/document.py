"""JSON documents of an artifact: bounded when read, canonical when hashed."""

import json
import math
import re
from typing import Any, NoReturn

from sktuning.errors import ArtifactCorrupt

MAX_DEPTH = 8  # nothing of ours nests deeper than 5
# A string, or what is left of one at the end; possessive, so that no input makes it backtrack.
_STRING = re.compile(rb'"(?:[^"\\]++|\\.)*+(?:"|\\?\Z)', re.DOTALL)
_BRACKET = re.compile(rb"[\[\]{}]")


def parse(data: bytes, name: str) -> dict[str, Any]:
    """The JSON object in `data`, which nobody vouches for.

    Args:
        data: the whole document; its size is the caller's to limit.
        name: what to call it in errors.

    Raises:
        ArtifactCorrupt: not one plain JSON object of finite numbers, or nested too deeply.
    """
    _check_depth(data, name)
    try:
        value = json.loads(
            data.decode("utf-8"),
            object_pairs_hook=_without_duplicates,
            parse_constant=_refuse_constant,
            parse_float=_finite,
        )
    except ValueError as error:  # of JSON, of UTF-8, of our own hooks
        raise ArtifactCorrupt(f"{name} is not usable JSON: {error}") from error
    if not isinstance(value, dict):
        raise ArtifactCorrupt(f"{name} holds a {type(value).__name__}, not a JSON object")
    return value


def canonical(value: Any) -> bytes:
    """The one spelling of a JSON value that digests are computed over."""
    text = json.dumps(value, sort_keys=True, separators=(",", ":"), allow_nan=False)
    return text.encode("ascii")


def pretty(value: Any) -> bytes:
    """A spelling for people, with the keys in the order given."""
    return (json.dumps(value, indent=2, allow_nan=False) + "\n").encode("ascii")


def _check_depth(data: bytes, name: str) -> None:
    depth = 0
    for bracket in _BRACKET.finditer(_STRING.sub(b"", data)):
        depth += 1 if bracket[0] in b"[{" else -1
        if depth > MAX_DEPTH:
            raise ArtifactCorrupt(f"{name} is nested more than {MAX_DEPTH} levels deep")


def _without_duplicates(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    values = dict(pairs)
    if len(values) != len(pairs):
        raise ValueError("the same key twice in one object")
    return values


def _refuse_constant(text: str) -> NoReturn:
    raise ValueError(f"{text} is not a number that JSON has")


def _finite(text: str) -> float:
    value = float(text)
    if not math.isfinite(value):
        raise ValueError(f"{text} is too large")
    return value
