"""The caches of products are bounded before torch reads how large they may be."""

import os
import subprocess
import sys

import pytest

from skhost.onednn import KEPT, keep_fewer_products

MEASURE = """
import sys
from skhost.onednn import keep_fewer_products
assert "torch" not in sys.modules
if sys.argv[1] == "bounded":
    keep_fewer_products()
import torch
weight = torch.ones(384, 384, dtype=torch.bfloat16)
def misses(counts):
    for count in counts:
        torch.nn.functional.linear(torch.ones(count, 384, dtype=torch.bfloat16), weight)
with torch.no_grad():
    misses(range(20, 620))
    print("again", flush=True)
    misses(range(20, 40))
"""


def test_the_environment_s_own_bounds_stay(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LRU_CACHE_CAPACITY", "7")
    monkeypatch.delenv("ONEDNN_PRIMITIVE_CACHE_CAPACITY", raising=False)
    keep_fewer_products()
    kept = [os.environ[name] for name in ("LRU_CACHE_CAPACITY", "ONEDNN_PRIMITIVE_CACHE_CAPACITY")]
    assert kept == ["7", str(KEPT)]


@pytest.mark.parametrize(("how", "is_forgotten"), [("bounded", True), ("unbounded", False)])
def test_the_last_products_are_kept_and_no_others(how: str, is_forgotten: bool) -> None:
    names = ("LRU_CACHE_CAPACITY", "ONEDNN_PRIMITIVE_CACHE_CAPACITY")
    environment = {name: value for name, value in os.environ.items() if name not in names}
    done = subprocess.run(
        [sys.executable, "-c", MEASURE, how],
        env={**environment, "ONEDNN_VERBOSE": "profile_create"},
        capture_output=True,
        text=True,
        check=True,
    )
    _, _, again = done.stdout.partition("again")
    if "onednn_verbose" not in done.stdout:
        pytest.skip("this processor has no products of oneDNN's in bfloat16")
    assert ("create:cache_miss" in again) == is_forgotten
