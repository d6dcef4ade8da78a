"""The prompt text made from task and labels."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sktuning.config import Task
from sktuning.wording import default_prompt, readable


@pytest.mark.parametrize(
    ("task", "labels", "is_pair", "text"),
    [
        (
            Task.SINGLE_LABEL,
            ["negative", "neutral", "positive"],
            False,
            "classify the text as negative, neutral or positive. text:",
        ),
        (
            Task.SINGLE_LABEL,
            ["equivalent", "not_equivalent"],
            True,
            "classify the pair of texts as equivalent or not equivalent. texts:",
        ),
        (
            Task.MULTI_LABEL,
            ["joy", "anger"],
            False,
            "choose all that fit the text: joy and anger. text:",
        ),
        (Task.REGRESSION, [], True, "rate the pair of texts with a number. texts:"),
        (
            Task.TOKENS,
            ["O", "B-person", "I-person", "B-creative-work", "I-creative-work"],
            False,
            "find the names of creative work and person in the text. text:",
        ),
        (Task.TOKENS, ["O", "B-1"], False, "find the names in the text. text:"),
        (Task.SINGLE_LABEL, ["0", "1"], False, "classify the text as one of 2 classes. text:"),
        (Task.SINGLE_LABEL, ["👍", "👎"], False, "classify the text as one of 2 classes. text:"),
        (Task.SINGLE_LABEL, ["积极", "消极"], False, "classify the text as 积极 or 消极. text:"),
    ],
)
def test_each_task_has_its_sentence(
    task: Task, labels: list[str], is_pair: bool, text: str
) -> None:
    assert default_prompt(task, labels, is_pair=is_pair) == text


@pytest.mark.parametrize(
    ("label", "words"),
    [("card_arrival", "card arrival"), ("cardArrival", "card arrival"), ("Sci/Tech", "sci tech")],
)
def test_labels_become_words(label: str, words: str) -> None:
    assert readable(label) == words


def test_many_labels_are_cut_to_a_few_taken_from_all_over() -> None:
    text = default_prompt(Task.SINGLE_LABEL, [f"kind {chr(97 + i)}" for i in range(26)])
    assert "kind a," in text
    assert text.endswith("kind z or another. text:")
    assert len(text.split()) <= 30


@pytest.mark.parametrize("task", list(Task))
def test_a_sentence_gets_shorter_until_a_base_has_room(task: Task) -> None:
    labels = [f"label_{chr(97 + i)}" for i in range(20)]
    lengths = []
    for room in (400, 120, 80, 60, 5):
        text = default_prompt(task, labels, fits=lambda one: len(one) <= room)  # noqa: B023
        lengths.append(len(text))
        assert len(text) <= max(room, 24)
    assert lengths == sorted(lengths, reverse=True)
    assert text.endswith(" the text:")


@given(st.lists(st.text(max_size=300), min_size=2, max_size=100), st.sampled_from(Task))
def test_any_labels_make_one_short_line(labels: list[str], task: Task) -> None:
    text = default_prompt(task, labels)
    assert "\n" not in text
    assert 4 <= len(text.split()) <= 30
    assert len(text) < 1800
