"""Tags to entities."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sktuning.entities import WordSpan, entity_labels, split_tag, word_spans


@pytest.mark.parametrize(
    ("tags", "spans"),
    [
        ("O O", []),
        ("B-per I-per O", [WordSpan("per", 0, 1)]),
        ("B-per B-per", [WordSpan("per", 0, 0), WordSpan("per", 1, 1)]),
        ("O I-per I-per", [WordSpan("per", 1, 2)]),  # inside without a beginning
        ("B-per I-loc", [WordSpan("per", 0, 0), WordSpan("loc", 1, 1)]),
        ("I-per O I-per", [WordSpan("per", 0, 0), WordSpan("per", 2, 2)]),
        ("B-creative-work I-creative-work", [WordSpan("creative-work", 0, 1)]),
        ("S-per E-per", [WordSpan("per", 0, 1)]),
        ("per per O loc", [WordSpan("per", 0, 1), WordSpan("loc", 3, 3)]),
        ("B- X-y", [WordSpan("B-", 0, 0), WordSpan("X-y", 1, 1)]),
    ],
)
def test_tags_become_entities(tags: str, spans: list[WordSpan]) -> None:
    assert word_spans(tags.split()) == spans


@given(st.lists(st.sampled_from(["O", "B-a", "I-a", "B-b", "I-b"]), max_size=12))
def test_every_word_inside_is_in_exactly_one_entity(tags: list[str]) -> None:
    covered = [i for span in word_spans(tags) for i in range(span.first, span.last + 1)]
    assert covered == [i for i, tag in enumerate(tags) if tag != "O"]
    for span in word_spans(tags):
        assert {split_tag(tags[i])[1] for i in range(span.first, span.last + 1)} == {span.label}
        assert not any(tags[i].startswith("B") for i in range(span.first + 1, span.last + 1))


def test_the_labels_behind_tags_are_listed_once() -> None:
    assert entity_labels(["O", "B-loc", "I-loc", "B-art"]) == ["art", "loc"]
