import json

from hypothesis import given
from hypothesis import strategies as st

from skhost.api.answer import JsonAnswer, encoded

numbers = st.integers(-(2**63), 2**63) | st.floats(allow_nan=False, allow_infinity=False)
texts = st.text(st.characters(exclude_categories=["Cs"]))
values = st.recursive(
    st.none() | st.booleans() | numbers | texts,
    lambda inner: st.lists(inner) | st.dictionaries(texts, inner),
)


@given(values)
def test_a_value_comes_back_from_its_json(value: object) -> None:
    assert json.loads(encoded(value)) == value
    assert b"\n" not in encoded(value)


def test_numbers_that_json_does_not_have_are_null() -> None:
    assert json.loads(encoded([float("nan"), float("inf"), 1.5])) == [None, None, 1.5]


def test_an_answer_is_json_as_it_stands() -> None:
    answer = JsonAnswer({"label": "größer"})
    assert answer.body == '{"label":"größer"}'.encode()
    assert answer.headers["Content-Type"] == "application/json"
