"""Linear layers laid out for serving: the same answers, and still layers that can be trained by."""

import copy

import pytest
import torch
from tiny_families import FAMILIES, Family
from torch import nn

from sktuning.base import FrozenBase
from sktuning.precision import has_fast_bfloat16
from sktuning.products import LaidOutLinear, lay_out
from sktuning.rows import Row

CPU = torch.device("cpu")
ROWS = [Row(range(5, 30), [0] * 25), Row(range(7, 10), [0] * 3)]


def layers_of(base: FrozenBase) -> list[nn.Linear]:
    return [module for module in base.model.modules() if isinstance(module, nn.Linear)]


@pytest.mark.parametrize("family", FAMILIES, ids=lambda family: family.name)
@torch.inference_mode()
def test_a_base_that_is_prepared_answers_as_before(family: Family) -> None:
    base = family.base().converted(torch.bfloat16)
    before = base.forward(ROWS).flat.float()
    base.prepare_to_serve()
    for _ in range(2):  # the copies are made, and used again
        after = base.forward(ROWS).flat.float()
        assert (after - before).abs().max() / before.abs().max() < 0.02
    plain = nn.Linear if has_fast_bfloat16(CPU) else LaidOutLinear
    assert plain not in {type(layer) for layer in layers_of(base)}  # families' own kinds stay


@torch.inference_mode()
def test_its_copies_and_conversions_have_weights_of_their_own(tiny_bert: FrozenBase) -> None:
    base = tiny_bert.converted(torch.bfloat16)
    lay_out(base.model)
    base.forward(ROWS)
    before = base.forward(ROWS).flat
    twin = copy.deepcopy(base.model)
    for parameter in twin.parameters():
        parameter.zero_()
    assert not twin(input_ids=torch.tensor([[5, 6]]), **_packing()).last_hidden_state.any()
    exact = base.converted(torch.float32)
    assert torch.equal(base.forward(ROWS).flat, before)
    error = exact.forward(ROWS).flat - tiny_bert.forward(ROWS).flat
    assert error.abs().max() < 0.05
    assert exact.forward(ROWS).flat.dtype is torch.float32


def _packing() -> dict[str, object]:
    from sktuning.packed import pack

    return {"packing": pack([Row([5, 6], [0, 0])], CPU)}


def test_gradient_goes_through_it_as_through_any_layer() -> None:
    plain = nn.Linear(16, 8).to(torch.bfloat16)
    model = nn.Sequential(copy.deepcopy(plain))
    lay_out(model)
    inputs = torch.randn(4, 16, dtype=torch.bfloat16, requires_grad=True)
    (expected,) = torch.autograd.grad(plain(inputs).sum(), inputs)
    (seen,) = torch.autograd.grad(model(inputs).sum(), inputs)
    assert torch.equal(seen, expected)


def test_a_wide_base_serves_in_bfloat16_where_that_is_fast(minilm: FrozenBase) -> None:
    base = minilm.converted(torch.bfloat16).converted(torch.float32)
    base.prepare_to_serve("float32")
    assert base.dtype is torch.float32
    base.prepare_to_serve()
    assert base.dtype is (torch.bfloat16 if has_fast_bfloat16(CPU) else torch.float32)
    assert minilm.dtype is torch.float32


def test_a_narrow_base_stays_as_it_is(tiny_bert: FrozenBase) -> None:
    tiny_bert.prepare_to_serve()
    assert tiny_bert.dtype is torch.float32


def test_what_it_cannot_speed_up_is_left_alone() -> None:
    assert lay_out(nn.Sequential(nn.Linear(4, 4))) == 0
