"""Packed attention: windows, causality and prefixes against a plain formula, one row at a time."""

import itertools

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from sktuning.attention import LAYER, attend, group_by_length
from sktuning.errors import UnsupportedBase
from sktuning.packed import pack
from sktuning.rows import Row
from sktuning.state import PromptState

HEADS, KV_HEADS, WIDTH = 4, 2, 8


class Layer(nn.Module):
    """Stands where a model's attention module would."""

    def __init__(self, is_causal: bool) -> None:
        super().__init__()
        self.is_causal = is_causal
        setattr(self, LAYER, 0)


def plain(
    q: Tensor, k: Tensor, v: Tensor, *, is_causal: bool, window: int | None, softcap: float | None
) -> Tensor:
    """One row: q (n_heads, Q, D), k and v (n_kv, P + Q, D) to (Q, n_heads, D)."""
    k, v = k.repeat_interleave(2, 0), v.repeat_interleave(2, 0)
    scores = q @ k.transpose(1, 2) * 0.3
    if softcap is not None:
        scores = torch.tanh(scores / softcap) * softcap
    prefix = k.shape[1] - q.shape[1]
    for i, j in itertools.product(range(q.shape[1]), range(k.shape[1])):
        distance = prefix + i - j
        hidden = (is_causal and distance < 0) or (window is not None and abs(distance) >= window)
        if hidden:
            scores[:, i, j] = float("-inf")
    return (scores.softmax(-1) @ v).transpose(0, 1)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("softcap", [None, 2.0])
@pytest.mark.parametrize("window", [None, 3])
@pytest.mark.parametrize("is_causal", [False, True])
def test_every_row_attends_as_if_alone(
    is_causal: bool, window: int | None, softcap: float | None, dtype: torch.dtype
) -> None:
    generator = torch.Generator().manual_seed(0)
    lengths, prefixes = (5, 2, 30, 1, 5, 29), (3, 0, 2, 4, 3, 0)
    q = torch.randn(HEADS, sum(lengths), WIDTH, generator=generator)
    k, v = torch.randn(2, KV_HEADS, sum(lengths), WIDTH, generator=generator)
    kvs = [torch.randn(1, 2, KV_HEADS, p, WIDTH, generator=generator) for p in prefixes]
    states = [PromptState(kv=kv) if kv.shape[3] else None for kv in kvs]
    rows = [Row([0] * n, [0] * n, s) for n, s in zip(lengths, states, strict=True)]
    query, key, value = (t[None].to(dtype) for t in (q, k, v))
    out, _ = attend(
        Layer(is_causal),
        query,
        key,
        value,
        None,
        scaling=0.3,
        sliding_window=window,
        softcap=softcap,
        packing=pack(rows, torch.device("cpu")),
    )
    expected, at = [], 0
    for n, kv in zip(lengths, kvs, strict=True):
        own = slice(at, at + n)
        keys, values = (torch.cat([kv[0, i], t[:, own]], 1) for i, t in enumerate((k, v)))
        expected.append(
            plain(q[:, own], keys, values, is_causal=is_causal, window=window, softcap=softcap)
        )
        at += n
    tolerance = 1e-5 if dtype is torch.float32 else 5e-2
    assert torch.allclose(out[0].float(), torch.cat(expected), atol=tolerance)


def test_gradient_reaches_a_prefix_of_uneven_rows_without_nan() -> None:
    kv = torch.randn(1, 2, KV_HEADS, 3, WIDTH, requires_grad=True)
    rows = [Row([0] * n, [0] * n, PromptState(kv=kv)) for n in (2, 6)]
    q, k, v = torch.randn(1, HEADS, 8, WIDTH), *torch.randn(2, 1, KV_HEADS, 8, WIDTH)
    options = {"scaling": 0.3, "sliding_window": 2, "packing": pack(rows, torch.device("cpu"))}
    out, _ = attend(Layer(True), q, k, v, None, **options)  # type: ignore[arg-type]
    out.sum().backward()  # type: ignore[no-untyped-call]
    assert kv.grad is not None
    assert torch.isfinite(kv.grad).all()
    assert kv.grad.abs().sum() > 0


def test_attention_without_a_packing_is_an_error() -> None:
    states = torch.zeros(1, 1, 2, 8)
    with pytest.raises(UnsupportedBase, match="without a packing"):
        attend(Layer(False), states, states, states, None)


@settings(max_examples=50)
@given(st.lists(st.integers(1, 500), min_size=1, max_size=40))
def test_grouping_loses_no_row_and_pads_little(lengths: list[int]) -> None:
    groups = group_by_length(lengths)
    assert sorted(i for group in groups for i in group) == list(range(len(lengths)))
    for group in groups:
        shortest, longest = (f(lengths[i] for i in group) for f in (min, max))
        assert longest <= shortest * 1.35 + 6
