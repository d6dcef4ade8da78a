"""Every family that is said to work does all that `docs/bases.md` says of it, and no more."""

import json
import re
from pathlib import Path
from typing import Any

import pytest
from conformance import measure, merged, refusal, without_bounds
from tiny_families import EVERY, REFUSED, Family

ROOT = Path(__file__).resolve().parents[3]


@pytest.fixture(scope="module")
def recorded() -> Any:
    """What the page is made from."""
    return json.loads((ROOT / "docs" / "bases.json").read_text(encoding="utf-8"))


@pytest.mark.parametrize("family", EVERY, ids=lambda family: family.name)
def test_a_family_does_all_that_is_said_of_it(family: Family, recorded: Any) -> None:
    row = measure(family)
    assert row.misses == []
    assert row.path == family.path
    said = {one["name"]: one for one in recorded["families"]}[family.name]
    assert without_bounds(row.to_dict()) == without_bounds(said), "run make bases"


@pytest.mark.parametrize("family", REFUSED, ids=lambda family: family.name)
def test_a_family_that_cannot_be_is_refused_in_the_words_that_are_shown(
    family: Family, recorded: Any
) -> None:
    assert refusal(family) == recorded["refused"][family.name], "run make bases"


def test_only_families_that_are_measured_are_shown(recorded: Any) -> None:
    assert [one["name"] for one in recorded["families"]] == [family.name for family in EVERY]
    assert list(recorded["refused"]) == [family.name for family in REFUSED]


def test_the_pinned_transformers_is_among_those_that_were_measured(recorded: Any) -> None:
    pins = (ROOT / "constraints.txt").read_text(encoding="utf-8")
    (version,) = re.findall(r"^transformers==(\S+)$", pins, re.MULTILINE)
    assert version in recorded["transformers"]


def test_a_version_is_added_to_the_record_that_it_agrees_with() -> None:
    row = {"name": "a", "path": "packed", "prefix": 1e-6, "trains": True}
    before = {"transformers": ["5.1"], "families": [row], "refused": {}}
    now = {"transformers": ["5.2"], "families": [{**row, "prefix": 1e-5}], "refused": {}}
    assert merged(before, now) == {**now, "transformers": ["5.1", "5.2"]}
    assert merged(now, before)["families"] == now["families"]  # the higher bound stays
    others = [
        {"transformers": ["5.2"], "families": [{**row, "path": "padded"}], "refused": {}},
        {"transformers": ["5.2"], "families": [row], "refused": {"b": "no"}},
    ]
    assert [merged(before, other) for other in others] == others
    assert merged({}, now) == now
