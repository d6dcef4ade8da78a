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

    index: Tensor  # (B, Q): where each token stands in the packed row; padding repeats the first
    query_valid: Tensor  # (B, Q)
    prefix_valid: Tensor | None  # (B, P); None: no row has a prefix
    prefix_kv: Tensor | None  # (L, 2, B, n_kv, P, D)
    is_even: bool  # no padding anywhere
    masks: dict[tuple[bool, int | None], Tensor | None] = field(default_factory=dict)
    biases: dict[tuple[bool, int | None], Tensor | None] = field(default_factory=dict)

    def mask(self, is_causal: bool, window: int | None) -> Tensor | None:
        """What each query may see, (B, 1, Q, P + Q); None: everything. Made once a forward."""
        key = (is_causal, window)
        if key not in self.masks:
            self.masks[key] = self._make_mask(is_causal, window)
        return self.masks[key]

    def bias(self, is_causal: bool, window: int | None) -> Tensor | None:
        """`mask` as what is added to the scores, in float32; made once a forward."""
        key = (is_causal, window)
        if key not in self.biases:
            mask = self.mask(is_causal, window)
            self.biases[key] = (
                None
                if mask is None
                else torch.zeros_like(mask, dtype=torch.float32).masked_fill_(~mask, float("-inf"))
            )
        return self.biases[key]

    def _make_mask(self, is_causal: bool, window: int | None) -> Tensor | None:
        if self.is_even and not is_causal and window is None:
            return None
        queries = self.index.shape[1]
        prefix = 0 if self.prefix_valid is None else self.prefix_valid.shape[1]
        device = self.index.device
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
        return mask[:, None]


@dataclass(slots=True, eq=False)
class Packing:
    """How the tokens of one packed row belong together; made once a forward.

    Attributes:
        buckets: every row is in exactly one.
        restore: (T,): where each token's output stands among the buckets' outputs.
        collected: when a list, each layer's own keys and values are appended to it.
        modules: the attention modules in the order of their calls, when probing.
    """

    buckets: list[Bucket]
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
    flat = [_attend_bucket(b, layer, query[0], key[0], value[0], options) for b in packing.buckets]
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


def _attend_bucket(
    bucket: Bucket, layer: int, query: Tensor, key: Tensor, value: Tensor, options: _Options
) -> Tensor:
    """(n_heads, T, D) and (n_kv, T, D) to this bucket's (B·Q, n_heads, D)."""
    rows, queries = bucket.index.shape
    where = bucket.index.reshape(-1)

    def take(states: Tensor) -> Tensor:  # (n, T, D) to (B, Q, n, D): whole tokens are copied
        return states.transpose(0, 1).index_select(0, where).view(rows, queries, -1, query.shape[2])

    q, k, v = take(query), take(key), take(value)
    if bucket.prefix_kv is not None:
        prefix = bucket.prefix_kv[layer].to(k.dtype).transpose(2, 3)  # (2, B, P, n_kv, D)
        k, v = torch.cat([prefix[0], k], dim=1), torch.cat([prefix[1], v], dim=1)
    q, k, v = (states.transpose(1, 2) for states in (q, k, v))
    out = _attention(q, k, v, bucket, options)  # (B, n_heads, Q, D)
    return out.transpose(1, 2).reshape(rows * queries, q.shape[1], -1)


def _attention(q: Tensor, k: Tensor, v: Tensor, bucket: Bucket, options: _Options) -> Tensor:
    groups = q.shape[1] // k.shape[1]
    has_slow_sdpa = q.dtype is torch.bfloat16 and q.device.type == "cpu"
    if has_slow_sdpa and k.shape[2] <= SHORT and options.softcap is None and not k.requires_grad:
        return _short(q, k, v, bucket.bias(options.is_causal, options.window), options)
    mask = bucket.mask(options.is_causal, options.window)
    # SDPA knows no soft cap; and its bf16 backward on the processor is several times slower
    slow_backward = has_slow_sdpa and k.requires_grad
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
        weights = weights.masked_fill(~mask, float("-inf"))
    return weights.softmax(dim=-1, dtype=torch.float32).to(v.dtype) @ v


def _short(q: Tensor, k: Tensor, v: Tensor, bias: Tensor | None, options: _Options) -> Tensor:
    """Few keys without gradient: products of whole batches instead of SDPA's loop over heads."""
    groups = q.shape[1] // k.shape[1]
    if groups > 1:
        k, v = k.repeat_interleave(groups, dim=1), v.repeat_interleave(groups, dim=1)
    scale = q.shape[-1] ** -0.5 if options.scaling is None else options.scaling
    scores = q @ k.transpose(-1, -2)  # (B, n_heads, Q, P + Q)
    scores = scores.float() * scale if bias is None else torch.add(bias, scores, alpha=scale)
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
