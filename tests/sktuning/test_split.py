"""Which rows are drawn."""

from collections import Counter

from hypothesis import given
from hypothesis import strategies as st

from sktuning.split import draw

LABELS = st.lists(st.sets(st.sampled_from("abc"), max_size=2).map(sorted), min_size=1, max_size=40)


def test_some_texts_of_every_label_are_drawn() -> None:
    labels = [["a"]] * 50 + [["b"]] * 10 + [["c"]] * 2
    drawn = draw(range(62), labels, 0.2, seed=0)
    assert Counter(labels[i][0] for i in drawn) == {"a": 10, "b": 2, "c": 1}


def test_the_same_text_is_never_on_both_sides() -> None:
    texts = [i // 3 for i in range(30)]
    drawn = draw(texts, [["a"]] * 30, 0.3, seed=0)
    assert drawn
    assert {texts[i] for i in drawn}.isdisjoint(texts[i] for i in range(30) if i not in drawn)


def test_the_seed_says_which_rows_are_drawn() -> None:
    first, again, other = (draw(range(100), [["a"]] * 100, 0.1, seed=s) for s in (1, 1, 2))
    assert first == again
    assert first != other


def test_labels_with_one_text_each_are_drawn_from_alike() -> None:
    assert len(draw(range(10), [[str(i)] for i in range(10)], 0.2, seed=0)) == 2


@given(LABELS, st.floats(0.01, 0.99), st.integers(0, 9))
def test_never_more_than_half_is_drawn_and_never_nothing_of_two(
    labels: list[list[str]], share: float, seed: int
) -> None:
    drawn = draw(range(len(labels)), labels, share, seed)
    assert len(drawn) <= len(labels) / 2
    assert bool(drawn) == (len(labels) > 1)
