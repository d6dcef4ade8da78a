import pytest

from skhost.errors import InvalidRequest
from skhost.names import (
    AdapterRef,
    check_alias,
    check_name,
    is_job_id,
    near_names,
    new_job_id,
    parse_labels,
    parse_ref,
)


@pytest.mark.parametrize(
    ("text", "ref"),
    [
        ("sentiment", AdapterRef("sentiment")),
        ("sentiment@3", AdapterRef("sentiment", 3)),
        ("sentiment@prod", AdapterRef("sentiment", "prod")),
        ("a.b_c-1@canary.2", AdapterRef("a.b_c-1", "canary.2")),
    ],
)
def test_a_reference_is_read_and_written_back(text: str, ref: AdapterRef) -> None:
    assert parse_ref(text) == ref
    assert str(ref) == text


def test_no_selector_means_the_default_alias() -> None:
    assert parse_ref("a").alias == "prod"
    assert parse_ref("a@blue").alias == "blue"
    assert parse_ref("a@7").alias is None


@pytest.mark.parametrize(
    "text",
    [
        *("", "@", "a@", "a@0", "a@01", "a@99999999999", "a@-1", "a@Prod", "A", "../x", "a/b"),
        *("a b", "-a", ".a", "a\n", "a@prod\n", "a@1@2", "x" * 65, "a@" + "x" * 33, "é", "a@٣"),
        "a:b",
    ],
)
def test_anything_else_is_refused(text: str) -> None:
    with pytest.raises(InvalidRequest):
        parse_ref(text)


def test_limits_of_length_are_inclusive() -> None:
    assert check_name("x" * 64) == "x" * 64
    assert check_alias("x" * 32) == "x" * 32


def test_an_alias_cannot_look_like_a_version() -> None:
    with pytest.raises(InvalidRequest):
        check_alias("3")


def test_near_names_has_the_nearest_first_and_nothing_far() -> None:
    names = ["spam", "sentiment-de", "sentiment", "topic"]
    assert near_names("sentimemt", names) == ["sentiment", "sentiment-de"]
    assert near_names("zzzz", names) == []


def test_job_ids_differ_and_have_their_form() -> None:
    ids = {new_job_id() for _ in range(100)}
    assert len(ids) == 100
    assert all(map(is_job_id, ids))
    assert not is_job_id("../../etc/passwd")


@pytest.mark.parametrize(
    ("text", "labels"),
    [
        (None, ()),
        ("no,yes", ("no", "yes")),
        (" no , yes ", ("no", "yes")),
        ('"yes, sir",no', ("yes, sir", "no")),
        ("größe,🙂", ("größe", "🙂")),
    ],
)
def test_labels_stand_between_commas(text: str | None, labels: tuple[str, ...]) -> None:
    assert parse_labels(text) == labels


@pytest.mark.parametrize("text", ["", ",", "a,", 'a,"b', "a\nb,c"])
def test_labels_that_are_no_names_are_refused(text: str) -> None:
    with pytest.raises(InvalidRequest, match="labels"):
        parse_labels(text)
