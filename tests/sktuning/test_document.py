"""JSON that nobody vouches for."""

import contextlib
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sktuning import document
from sktuning.errors import ArtifactCorrupt

TEXT = st.text(st.characters(exclude_categories=[]))
LEAF = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False)
LISTS = st.lists(LEAF | TEXT | st.lists(TEXT, max_size=3), max_size=3)
VALUES = LEAF | TEXT | LISTS | st.dictionaries(TEXT, LISTS, max_size=3)


@given(st.dictionaries(TEXT, VALUES, max_size=4))
def test_what_is_written_is_read_either_way(value: dict[str, Any]) -> None:
    assert document.parse(document.pretty(value), "it") == value
    assert document.parse(document.canonical(value), "it") == value


def test_canonical_json_does_not_depend_on_the_order_of_keys() -> None:
    assert document.canonical({"b": 1, "a": [1.5, "ä"]}) == b'{"a":[1.5,"\\u00e4"],"b":1}'
    assert document.canonical({"a": [1.5, "ä"], "b": 1}) == document.canonical(
        {"b": 1, "a": [1.5, "ä"]}
    )


@pytest.mark.parametrize("depth", [7, 8, 9, 100_000])
def test_depth_is_counted_before_parsing(depth: int) -> None:
    data = b'{"a":' + b"[" * (depth - 1) + b"]" * (depth - 1) + b"}"
    if depth <= document.MAX_DEPTH:
        document.parse(data, "it")
    else:
        with pytest.raises(ArtifactCorrupt, match="it is nested more than 8 levels deep"):
            document.parse(data, "it")


def test_brackets_in_strings_are_not_depth() -> None:
    value = {"a": "[" * 50 + '"' + "\\" + "{" * 50}
    assert document.parse(json.dumps(value).encode(), "it") == value


@given(st.binary(max_size=60) | st.text('[]{}",:\\ n1', max_size=60).map(str.encode))
def test_any_bytes_are_an_object_or_corrupt(data: bytes) -> None:
    with contextlib.suppress(ArtifactCorrupt):
        assert isinstance(document.parse(data, "it"), dict)


@pytest.mark.timeout(10)
@pytest.mark.parametrize("piece", [b'"', b'\\"', b"\\", b'"\\', b'"a\\"'])
def test_no_input_takes_long(piece: bytes) -> None:
    for data in (piece * 500_000, b'{"a": "' + piece * 500_000):
        with pytest.raises(ArtifactCorrupt):
            document.parse(data, "it")
