import pytest
from hypothesis import given
from hypothesis import strategies as st

from skhost.shelf import NoRoom, Shelf

BUDGET = 100
steps = st.lists(
    st.tuples(
        st.sampled_from(["put", "get", "drop"]), st.sampled_from("abcdefgh"), st.integers(1, 60)
    ),
    max_size=40,
)


def anyone(key: str) -> bool:
    return True


@given(steps, st.sets(st.sampled_from("abcdefgh")))
def test_the_budget_is_kept_and_the_pinned_stay(
    plan: list[tuple[str, str, int]], pinned: set[str]
) -> None:
    shelf: Shelf[int] = Shelf(BUDGET)
    model: dict[str, int] = {}  # in order of use
    for verb, key, nbytes in plan:
        if verb == "get":
            assert shelf.get(key) == model.get(key)
            if key in model:
                model[key] = model.pop(key)
        elif verb == "drop":
            assert shelf.drop(key) == model.pop(key, 0)
        else:
            before = dict(model)
            try:
                gone = shelf.put(key, nbytes, nbytes, may_leave=lambda k: k not in pinned)
            except NoRoom:
                free = sum(v for k, v in model.items() if k in pinned and k != key)
                assert free + nbytes > BUDGET
            else:
                model.pop(key, None)
                for victim, value in gone:
                    assert victim not in pinned
                    assert model.pop(victim) == value
                model[key] = nbytes
                _check_order(before, [victim for victim, _ in gone], key, pinned)
        assert [k for k, _ in shelf.items()] == list(model)
        assert shelf.used_bytes == sum(model.values()) <= BUDGET


def _check_order(before: dict[str, int], gone: list[str], key: str, pinned: set[str]) -> None:
    free = [k for k in before if k not in pinned and k != key]
    assert gone == free[: len(gone)]


def test_the_least_recently_used_leaves_first() -> None:
    shelf: Shelf[str] = Shelf(3)
    for key in "abc":
        shelf.put(key, key, 1, may_leave=anyone)
    shelf.get("a")
    assert shelf.put("d", "d", 2, may_leave=anyone) == [("b", "b"), ("c", "c")]
    assert "a" in shelf
    assert len(shelf) == 2


def test_no_room_changes_nothing() -> None:
    shelf: Shelf[str] = Shelf(3)
    shelf.put("a", "a", 1, may_leave=anyone)
    shelf.put("b", "b", 2, may_leave=anyone)
    with pytest.raises(NoRoom):
        shelf.put("c", "c", 3, may_leave=lambda key: key == "a")
    assert [key for key, _ in shelf.items()] == ["a", "b"]


def test_putting_a_key_again_replaces_it() -> None:
    shelf: Shelf[str] = Shelf(3)
    shelf.put("a", "old", 2, may_leave=anyone)
    assert shelf.put("a", "new", 3, may_leave=anyone) == []
    assert shelf.get("a") == "new"
    assert shelf.used_bytes == 3


def test_use_is_remembered_with_its_time() -> None:
    shelf: Shelf[str] = Shelf(3)
    shelf.put("a", "a", 1, may_leave=anyone)
    (_, before), *_ = [(key, item.used_at) for key, item in shelf.items()]
    shelf.get("a")
    (_, after), *_ = [(key, item.used_at) for key, item in shelf.items()]
    assert after >= before
