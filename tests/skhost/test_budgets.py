import os

import pytest
import torch

from skhost.budgets import DEVICE_SHARE, MIN_BYTES, Budgets, default_device_bytes


def test_the_default_is_a_share_of_what_there_is() -> None:
    physical = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    assert MIN_BYTES <= default_device_bytes(torch.device("cpu")) <= physical * DEVICE_SHARE


@pytest.mark.parametrize("wrong", [{"device_bytes": -1}, {"host_bytes": -1}, {"max_loads": 0}])
def test_budgets_that_cannot_work_are_refused(wrong: dict[str, int]) -> None:
    with pytest.raises(ValueError, match=r"negative|at least 1"):
        Budgets(**{"device_bytes": 1, **wrong})
