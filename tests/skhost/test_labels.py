"""Which adapters keep a label of their own."""

from hypothesis import given
from hypothesis import strategies as st

from skhost.labels import OTHER, RANK_EVERY, AdapterLabels


def ask(labels: AdapterLabels, name: str, times: int) -> list[str]:
    """Ask so often; the names that were replaced meanwhile."""
    replaced = []
    for _ in range(times):
        labels.label(name)
        replaced += labels.take_replaced()
    return replaced


def test_the_rest_is_other() -> None:
    labels = AdapterLabels(max_names=1)
    assert [labels.label(name) for name in ("a", "b", "a", "b")] == ["a", OTHER, "a", OTHER]


def test_without_room_all_are_other() -> None:
    labels = AdapterLabels(max_names=0)
    assert labels.label("a") == OTHER
    assert ask(labels, "a", 2 * RANK_EVERY) == []
    assert labels.label("a") == OTHER


def test_a_busy_name_takes_the_label_of_the_idlest() -> None:
    labels = AdapterLabels(max_names=2)
    ask(labels, "busy", 10)
    ask(labels, "idle", 1)
    assert ask(labels, "new", RANK_EVERY) == ["idle"]
    assert [labels.label(name) for name in ("busy", "new", "idle")] == ["busy", "new", OTHER]


def test_a_name_as_busy_as_another_does_not_replace_it() -> None:
    labels = AdapterLabels(max_names=1)
    replaced = []
    for _ in range(3 * RANK_EVERY):
        replaced += ask(labels, "a", 1) + ask(labels, "b", 1)
    assert replaced == []


def test_what_was_busy_long_ago_gives_way() -> None:
    labels = AdapterLabels(max_names=1)
    ask(labels, "old", 20 * RANK_EVERY)
    assert ask(labels, "new", 4 * RANK_EVERY) == ["old"]


def test_many_names_asked_for_once_keep_nobody_out() -> None:
    labels = AdapterLabels(max_names=5)
    for number in range(RANK_EVERY - 1):
        ask(labels, f"junk-{number}", 1)
    assert len(ask(labels, "real", 2 * RANK_EVERY)) == 1
    assert labels.label("real") == "real"


@given(
    st.lists(st.integers(0, 30), min_size=1, max_size=200),
    st.integers(0, 5),
)
def test_there_are_never_more_labels_than_room(names: list[int], room: int) -> None:
    labels, held = AdapterLabels(room), set[str]()
    for name in names * (3 * RANK_EVERY // len(names)):
        label = labels.label(str(name))
        held.add(label)
        held -= set(labels.take_replaced())
        assert len(held - {OTHER}) <= room
