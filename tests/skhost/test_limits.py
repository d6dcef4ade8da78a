from typing import Any

import pytest

from skhost.limits import Limits


@pytest.mark.parametrize(
    "wrong",
    [
        {"max_batch_tokens": 0},
        {"max_waiting_items": 0},
        {"max_waiting_tokens": -1},
        {"max_batch_items": 0},
        {"lane_share": 0.5},
    ],
)
def test_limits_that_let_nothing_through_are_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=f"{next(iter(wrong))} must be at least 1"):
        Limits(**wrong)


def test_a_batch_need_not_be_bounded_by_rows() -> None:
    assert Limits().max_batch_items is None
