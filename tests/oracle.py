"""What an adapter must answer, computed a second way: slowly, one row at a time, in float64.

It shares no code with the packed and padded forwards. Two ways of its own:

- `Plain`: the stock model with an attention written out as loops over heads, and masks from the
  definition;
- `Cached`: the stock model with its own eager attention, reading a prefix from its own key/value
  cache, or a prompt as embeddings in front of the text. Causal families only.
"""

import math
from collections.abc import Sequence
from functools import cache
from typing import Any

import torch
from torch import Tensor
from transformers import AttentionInterface, DynamicCache

_NAME = "oracle_loops"


class Plain:
    """A stock model whose attention is ours, written for being read.

    Args:
        model: the stock model; becomes the oracle's own.
        position_start: the position number of a sequence's first token.
        takes_positions: whether its forward takes position ids.
    """

    def __init__(
        self, model: Any, *, position_start: int = 0, takes_positions: bool = True
    ) -> None:
        AttentionInterface.register(_NAME, _attend)
        self._model = model.double().eval()
        self._model.set_attn_implementation(_NAME)
        assert self._model.config._attn_implementation == _NAME
        self._start = position_start
        self._takes_positions = takes_positions

    @torch.no_grad()
    def hidden(
        self,
        ids: Sequence[int],
        type_ids: Sequence[int],
        *,
        kv: Tensor | None = None,
        embeds: Tensor | None = None,
        offset: int = 0,
        uses_types: bool = False,
    ) -> Tensor:
        """Last hidden states of the text's own tokens, (T, H).

        Args:
            kv: keys and values before every layer's own, (L, 2, n_kv, P, D).
            embeds: embeddings before the text's, (P, E).
            offset: position of the text's first token.
        """
        length = 0 if embeds is None else len(embeds)
        inputs = _inputs(self._model, ids, embeds)
        if self._takes_positions:
            numbers = [*range(length), *range(offset, offset + len(ids))]
            inputs["position_ids"] = torch.tensor([[self._start + n for n in numbers]])
        if uses_types:
            inputs["token_type_ids"] = torch.tensor([[0] * length + list(type_ids)])
        watch = _Watch(None if kv is None else kv.double())
        if "use_cache" in type(self._model).forward.__code__.co_varnames:
            inputs["use_cache"] = False
        out = self._model(**inputs, oracle=watch)
        assert watch.layer == self._model.config.num_hidden_layers
        states: Tensor = out.last_hidden_state[0, length:]
        return states


class Cached:
    """A stock causal model exactly as it comes."""

    def __init__(self, model: Any, *, takes_positions: bool = True) -> None:
        self._model = model.double().eval()
        assert self._model.config._attn_implementation == "eager"
        self._takes_positions = takes_positions

    @torch.no_grad()
    def after_prefix(self, ids: Sequence[int], kv: Tensor, offset: int) -> Tensor:
        """The text read with `kv`, (L, 2, n_kv, P, D), in the model's own cache, (T, H)."""
        cache = DynamicCache()
        for layer, (keys, values) in enumerate(kv.double()):
            cache.update(keys[None], values[None], layer)
        inputs = _inputs(self._model, ids, None)
        if self._takes_positions:
            inputs["position_ids"] = torch.arange(offset, offset + len(ids))[None]
        inputs["attention_mask"] = torch.ones(1, kv.shape[3] + len(ids), dtype=torch.long)
        out = self._model(**inputs, past_key_values=cache)
        states: Tensor = out.last_hidden_state[0]
        return states

    @torch.no_grad()
    def in_the_row(self, ids: Sequence[int], embeds: Tensor) -> Tensor:
        """The text read behind a prompt's embeddings, (P, E), without any cache, (T, H)."""
        inputs = _inputs(self._model, ids, embeds)
        states: Tensor = self._model(**inputs, use_cache=False).last_hidden_state[0]
        return states[len(embeds) :]


class _Watch:
    """Counts the layers of one forward, and holds the prefix of each."""

    def __init__(self, kv: Tensor | None) -> None:
        self.kv = kv
        self.layer = 0


def _inputs(model: Any, ids: Sequence[int], embeds: Tensor | None) -> dict[str, Any]:
    tokens = torch.tensor([list(ids)])
    if embeds is None:
        return {"input_ids": tokens}
    own = model.get_input_embeddings()(tokens)
    return {"inputs_embeds": torch.cat([embeds.double()[None], own], dim=1)}


def _attend(
    module: Any,
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attention_mask: Tensor | None,
    *,
    oracle: _Watch,
    scaling: float | None = None,
    sliding_window: int | None = None,
    softcap: float | None = None,
    **_: Any,
) -> tuple[Tensor, None]:
    """One row: query (1, n_heads, T, D), key and value (1, n_kv, T, D) to (1, T, n_heads, D)."""
    assert query.shape[0] == 1
    assert attention_mask is None
    keys, values, prefix = key[0], value[0], 0
    if oracle.kv is not None:
        before = oracle.kv[oracle.layer]  # (2, n_kv, P, D)
        prefix = before.shape[2]
        keys, values = torch.cat([before[0], keys], 1), torch.cat([before[1], values], 1)
    oracle.layer += 1
    sees = _visible(query.shape[2], prefix, bool(module.is_causal), sliding_window)
    scale = 1 / math.sqrt(query.shape[3]) if scaling is None else scaling
    shared = query.shape[1] // keys.shape[0]  # query heads that share a key head
    heads = []
    for head in range(query.shape[1]):
        scores = query[0, head] @ keys[head // shared].T * scale  # (T, P + T)
        if softcap is not None:
            scores = torch.tanh(scores / softcap) * softcap
        scores = scores.masked_fill(~sees, -math.inf)
        heads.append(torch.softmax(scores, dim=-1) @ values[head // shared])
    return torch.stack(heads, dim=1)[None], None


@cache
def _visible(length: int, prefix: int, is_causal: bool, window: int | None) -> Tensor:
    """Which of the prefix and the text each token of the text sees, (T, P + T)."""
    return torch.tensor(
        [
            [
                (not is_causal or k <= q) and (window is None or abs(q - k) < window)
                for k in range(prefix + length)
            ]
            for q in range(prefix, prefix + length)
        ]
    )
