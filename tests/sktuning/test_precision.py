"""Number formats of bases."""

import pytest
import torch
from tiny_families import FAMILIES, Family

from sktuning.base import FrozenBase
from sktuning.config import TrainingConfig
from sktuning.errors import ConfigError
from sktuning.precision import choose_precision, convert, has_fast_bfloat16
from sktuning.rows import Row

CPU = torch.device("cpu")
ROWS = [Row(range(5, 30), [0] * 25), Row(range(7, 10), [0] * 3)]


@pytest.mark.parametrize("family", FAMILIES, ids=lambda family: family.name)
def test_a_converted_base_reads_alike_and_leaves_the_first_as_it_was(family: Family) -> None:
    base = family.base()
    before = base.forward(ROWS).flat
    twin = base.converted(torch.bfloat16)
    after = twin.forward(ROWS).flat
    assert (twin.dtype, twin.path, twin.identity) == (torch.bfloat16, base.path, base.identity)
    assert after.dtype is torch.bfloat16
    error = (after.float() - before).abs().max() / before.abs().max()
    assert error < 0.05
    assert base.dtype is torch.float32
    assert torch.equal(base.forward(ROWS).flat, before)


def test_a_base_in_that_dtype_already_is_not_copied(tiny_bert: FrozenBase) -> None:
    assert tiny_bert.converted(torch.float32) is tiny_bert


@pytest.mark.parametrize("family", FAMILIES, ids=lambda family: family.name)
def test_only_what_is_stored_is_converted(family: Family) -> None:
    model = convert(family.model(), torch.bfloat16)
    stored = model.state_dict()
    assert {t.dtype for t in stored.values() if t.is_floating_point()} == {torch.bfloat16}
    computed = {n: b for n, b in model.named_buffers() if n not in stored}
    assert all(b.dtype is not torch.bfloat16 for b in computed.values())
    if "inv_freq" in " ".join(dict(family.model().named_buffers())):
        assert any("inv_freq" in name for name in computed)


def test_positions_far_on_are_told_apart_in_bfloat16() -> None:
    """Rotary frequencies that were rounded would be off by radians there."""
    (llama,) = (family for family in FAMILIES if family.name == "llama")
    base = llama.base()
    near, far = Row([5, 6], [0, 0]), Row([5, 6], [0, 0], offset=200)
    exact = base.forward([near, far]).flat
    rounded = base.converted(torch.bfloat16).forward([near, far]).flat.float()
    assert (rounded - exact).abs().max() / exact.abs().max() < 0.05


@pytest.mark.parametrize("wanted", ["no", "bf16", "fp16"])
def test_a_precision_that_was_asked_for_is_taken(wanted: str) -> None:
    assert choose_precision(wanted, CPU, 32) == wanted


def test_the_precision_follows_the_device() -> None:
    fast = has_fast_bfloat16(CPU)
    assert choose_precision("auto", CPU, 384) == ("bf16" if fast else "no")
    assert choose_precision("auto", CPU, 32) == "no"
    assert not has_fast_bfloat16(torch.device("meta"))


def test_an_unknown_precision_is_refused() -> None:
    with pytest.raises(ConfigError, match="mixed_precision must be auto, no, bf16 or fp16"):
        TrainingConfig(mixed_precision="int4")
