"""Attention over one packed row of tokens, registered with transformers once.

A packed row holds many texts behind each other, without padding. Each text attends to itself and
to its own prefix, nothing else. The model stays stock: it looks this function up by name and
hands it the keyword argument ``packing`` that our forward passes in.

No mask function is registered under the name: for an unknown name transformers makes no mask,
while a registered one would first look for packed sequences, a device synchronisation.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.functional import scaled_dot_product_attention

from sktuning.errors import UnsupportedBase

NAME = "sktuning_packed"
LAYER = "sktuning_layer"  # set on every attention module when the base is probed
SHORT = 128  # keys; on a processor plain products are faster up to here in bfloat16, not beyond


@dataclass(slots=True, eq=False)
class Bucket:
    """Rows of about the same length that attend in one call; B rows, Q tokens, P prefix tokens.

    Prefixes are padded on the left, texts on the right, so that a prefix ends where its text
    begins and distances are those of the row alone.
    """

    query_valid: Tensor  # (B, Q)
    prefix_valid: Tensor | None  # (B, P); None: no row has a prefix
    prefix_kv: Sequence[Tensor] | None  # a layer: (2, B, n_kv, P, D)
    is_even: bool  # no padding anywhere
    masks: dict[tuple[bool, int | None, torch.dtype], Tensor | None] = field(default_factory=dict)

    @property
    def num_tokens(self) -> int:
        """B·Q, padding counted."""
        return self.query_valid.numel()

    def mask(self, is_causal: bool, window: int | None, dtype: torch.dtype) -> Tensor | None:
        """What is added to the scores, (B, 1, Q, P + Q): 0, or -inf where a query may not see.

        None: every query sees everything. Made once a forward.
        """
        key = (is_causal, window, dtype)
        if key not in self.masks:
            self.masks[key] = self._make_mask(is_causal, window, dtype)
        return self.masks[key]

    def _make_mask(self, is_causal: bool, window: int | None, dtype: torch.dtype) -> Tensor | None:
        if self.is_even and not is_causal and window is None:
            return None
        queries = self.query_valid.shape[1]
        prefix = 0 if self.prefix_valid is None else self.prefix_valid.shape[1]
        device = self.query_valid.device
        # distance from key to query, counted back from the query: (Q, P + Q)
        at_query = torch.arange(prefix, prefix + queries, device=device)[:, None]
        distance = at_query - torch.arange(prefix + queries, device=device)[None, :]
        seen = torch.ones_like(distance, dtype=torch.bool)
        if is_causal:
            seen &= distance >= 0
        if window is not None:
            seen &= distance.abs() < window
        valid = self.query_valid
        if self.prefix_valid is not None:
            valid = torch.cat([self.prefix_valid, valid], dim=1)  # (B, P + Q)
        # a padded query sees everything: a row of -inf alone would be NaN, and so its gradient
        mask = (seen[None] & valid[:, None, :]) | ~self.query_valid[:, :, None]  # (B, Q, P + Q)
        nothing = torch.zeros(mask.shape, dtype=dtype, device=device)
        return nothing.masked_fill(~mask, float("-inf"))[:, None]


@dataclass(slots=True, eq=False)
class Packing:
    """How the tokens of one packed row belong together; made once a forward.

    Attributes:
        buckets: every row is in exactly one.
        index: where the buckets' tokens stand in the packed row, one bucket behind the other, each
            (B, Q) row by row; padding repeats a row's first. None: they are the packed row.
        restore: (T,): where each token's output stands among the buckets' outputs; None with index.
        collected: when a list, each layer's own keys and values are appended to it.
        modules: the attention modules in the order of their calls, when probing.
    """

    buckets: list[Bucket]
    index: Tensor | None
    restore: Tensor | None
    collected: list[tuple[Tensor, Tensor]] | None = None
    modules: list[nn.Module] | None = None


def attend(
    module: nn.Module,
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attention_mask: Tensor | None,
    *,
    scaling: float | None = None,
    sliding_window: int | None = None,
    softcap: float | None = None,
    s_aux: Tensor | None = None,
    packing: Packing | None = None,
    **_: Any,
) -> tuple[Tensor, None]:
    """The function that transformers calls in every layer.

    Args:
        query: (1, n_heads, T, D), positions already applied.
        key, value: (1, n_kv, T, D).
        s_aux: attention sinks, one a head, which are not computed here.

    Returns:
        (1, T, n_heads, D), and no weights.

    Raises:
        UnsupportedBase: the family's layers do not pass on what our forward gave them.
    """
    if packing is None:
        raise UnsupportedBase(f"{NAME} attention was called without a packing: the family drops it")
    if s_aux is not None:
        raise UnsupportedBase("its attention has sinks, which the packed attention does not know")
    layer = _layer(module, packing)
    if packing.collected is not None:
        packing.collected.append((key[0], value[0]))
    causal = bool(getattr(module, "is_causal", False))
    options = _Options(scaling, causal, sliding_window, softcap)
    parts = (_parts(states[0].transpose(0, 1), packing) for states in (query, key, value))
    flat = [
        _attend_bucket(bucket, layer, q, k, v, options)
        for bucket, q, k, v in zip(packing.buckets, *parts, strict=True)
    ]
    out = flat[0] if len(flat) == 1 else torch.cat(flat)
    if packing.restore is not None:
        out = out.index_select(0, packing.restore)  # (T, n_heads, D)
    return out[None], None


@dataclass(frozen=True, slots=True)
class _Options:
    scaling: float | None
    is_causal: bool
    window: int | None
    softcap: float | None


def _layer(module: nn.Module, packing: Packing) -> int:
    if packing.modules is not None:
        packing.modules.append(module)
        return len(packing.modules) - 1
    return int(getattr(module, LAYER))


def _parts(states: Tensor, packing: Packing) -> Sequence[Tensor]:
    """(T, n, D) to each bucket's (B, n, Q, D), gathered at once."""
    if packing.index is not None:
        states = states.index_select(0, packing.index)
    split = torch.split(states, [bucket.num_tokens for bucket in packing.buckets])
    return [
        part.view(*bucket.query_valid.shape, *states.shape[1:]).transpose(1, 2)
        for part, bucket in zip(split, packing.buckets, strict=True)
    ]


def _attend_bucket(
    bucket: Bucket, layer: int, q: Tensor, k: Tensor, v: Tensor, options: _Options
) -> Tensor:
    """(B, n_heads, Q, D) and (B, n_kv, Q, D) to (B·Q, n_heads, D)."""
    if bucket.prefix_kv is not None:
        prefix = bucket.prefix_kv[layer].to(k.dtype)  # (2, B, n_kv, P, D)
        k, v = torch.cat([prefix[0], k], dim=2), torch.cat([prefix[1], v], dim=2)
    attention = _short_attention if _is_short(k, options) else _attention
    mask_dtype = torch.float32 if attention is _short_attention else q.dtype
    mask = bucket.mask(options.is_causal, options.window, mask_dtype)
    out = attention(q, k, v, mask, options)  # (B, n_heads, Q, D)
    return out.transpose(1, 2).flatten(0, 1)


def _attention(q: Tensor, k: Tensor, v: Tensor, mask: Tensor | None, options: _Options) -> Tensor:
    groups = q.shape[1] // k.shape[1]
    # SDPA knows no soft cap; and its bf16 backward on the processor is several times slower
    slow_backward = q.dtype is torch.bfloat16 and q.device.type == "cpu" and k.requires_grad
    if options.softcap is None and not slow_backward:
        return scaled_dot_product_attention(
            q, k, v, attn_mask=mask, scale=options.scaling, enable_gqa=groups > 1
        )
    if groups > 1:
        k, v = k.repeat_interleave(groups, dim=1), v.repeat_interleave(groups, dim=1)
    scale = q.shape[-1] ** -0.5 if options.scaling is None else options.scaling
    weights = (q @ k.transpose(-1, -2)) * scale  # (B, n_heads, Q, P + Q)
    if options.softcap is not None:
        weights = torch.tanh(weights / options.softcap) * options.softcap
    if mask is not None:
        weights = weights + mask
    return weights.softmax(dim=-1, dtype=torch.float32).to(v.dtype) @ v


def _is_short(k: Tensor, options: _Options) -> bool:
    """Whether a few products of whole batches beat SDPA, which on a processor loops over heads."""
    is_slow_in_sdpa = k.dtype is torch.bfloat16 and k.device.type == "cpu"
    is_few = k.shape[2] <= SHORT and options.softcap is None
    return is_slow_in_sdpa and is_few and not k.requires_grad


def _short_attention(
    q: Tensor, k: Tensor, v: Tensor, mask: Tensor | None, options: _Options
) -> Tensor:
    """`_attention` without gradient over few keys; the scores are float32, and so is `mask`."""
    groups = q.shape[1] // k.shape[1]
    if groups > 1:
        k, v = k.repeat_interleave(groups, dim=1), v.repeat_interleave(groups, dim=1)
    scale = q.shape[-1] ** -0.5 if options.scaling is None else options.scaling
    scores = q @ k.transpose(-1, -2)  # (B, n_heads, Q, P + Q)
    scores = scores.float() * scale if mask is None else torch.add(mask, scores, alpha=scale)
    return scores.softmax(dim=-1).to(v.dtype) @ v


def group_by_length(lengths: Sequence[int]) -> list[list[int]]:
    """Row numbers in groups whose lengths are so near that padding one to the other is cheap."""
    order = sorted(range(len(lengths)), key=lengths.__getitem__)
    groups: list[list[int]] = []
    limit = -1
    for row in order:
        if lengths[row] > limit:
            groups.append([])
            limit = int(lengths[row] * 1.35) + 6
        groups[-1].append(row)
    return groups
