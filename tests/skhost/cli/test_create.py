"""`skhost adapters create`: label names on the line become an adapter."""

import pytest
from commands import Skhost

pytestmark = pytest.mark.usefixtures("url")


def test_names_on_the_line_become_an_adapter(skhost: Skhost) -> None:
    made = skhost("adapters", "create", "fresh", "--labels", 'good,"bad, awful"')
    assert (made.code, made.out) == (0, "fresh@1 answers good, bad, awful\n")
    assert skhost("classify", "-a", "fresh", "a good text", "--json").json["label"] == "good"
    again = skhost("adapters", "create", "fresh", "--labels", "a,b")
    assert again.code == 1
    assert "'fresh' already" in again.err
    assert skhost("adapters", "rm", "fresh", "--yes").code == 0


def test_labels_may_be_described_one_by_one(skhost: Skhost) -> None:
    options = (
        *("--labels", "good"),
        *("--label", "2=an awful text", "--label", "2=a bad text", "--label", "text"),
    )
    made = skhost("adapters", "create", "fresh", *options, "--json").json
    assert (made["labels"], made["origin"]) == (["good", "2", "text"], "labels")
    answer = skhost("classify", "-a", "fresh", "an awful text", "--json").json
    assert answer["label"] == "2"
    assert skhost("adapters", "rm", "fresh", "--yes").code == 0


def test_refusals_are_one_line(skhost: Skhost) -> None:
    for options, code, message in (
        ((), 2, "--labels positive,negative"),
        (("--labels", "a,,b"), 2, "none may be empty"),
        (("--labels", "a"), 1, "labels"),
        (("--labels", "1,2"), 1, "has no letters"),
    ):
        refused = skhost("adapters", "create", "fresh", *options)
        assert (refused.code, refused.out, refused.err.count("\n")) == (code, "", 1)
        assert message in refused.err
    assert skhost("adapters", "show", "fresh").code == 1
