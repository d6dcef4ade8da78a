"""The padded forward, for causal families whose attention cannot be replaced, as BLOOM and Falcon.

Prefixes are padded on the left and texts on the right, so that every prefix ends where its text
begins; the stock model reads the prefixes from its own key/value cache.
"""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn
from transformers import DynamicCache

from sktuning.layers import LayerInputs
from sktuning.packed import stack_prefixes
from sktuning.rows import Captured, Hidden, Row


class PaddedForward:
    """Runs a stock causal model over a padded batch with its key/value cache filled beforehand.

    Args:
        model: a transformers model without a head.
        layers: its layers, in order.
        accepts: the names of the keyword arguments that its forward takes.
        pad_id: any valid token id.
    """

    def __init__(
        self, model: nn.Module, layers: nn.ModuleList, accepts: frozenset[str], pad_id: int = 0
    ) -> None:
        self._model = model
        self._layers = layers
        self._accepts = accepts
        self._pad_id = pad_id

    def __call__(self, rows: Sequence[Row]) -> Hidden:
        """Last hidden states of the rows' own tokens."""
        device = next(self._model.parameters()).device
        lengths = torch.tensor([len(row) for row in rows])
        width = int(lengths.max())
        valid = torch.arange(width)[None] < lengths[:, None]  # (B, Q)
        ids = torch.full((len(rows), width), self._pad_id)
        ids[valid] = torch.tensor([i for row in rows for i in row.ids])
        kv, prefix_valid = stack_prefixes(rows)
        mask = valid if prefix_valid is None else torch.cat([prefix_valid, valid], dim=1)
        inputs: dict[str, Any] = {
            "input_ids": ids.to(device),
            "attention_mask": mask.long().to(device),
        }
        if "position_ids" in self._accepts:
            offsets = torch.tensor([row.offset for row in rows])
            inputs["position_ids"] = (offsets[:, None] + torch.arange(width)).to(device)
        if kv is not None:
            inputs["past_key_values"] = _filled_cache(kv, self._dtype)
        hidden = self._run(inputs)  # (B, Q, H)
        return Hidden(hidden[valid.to(device)], tuple(len(row) for row in rows))

    def capture(self, embeds: Tensor, replace: Tensor | None = None) -> Captured:
        """Read a prompt alone; see `PackedForward.capture`."""
        cache = DynamicCache()
        inputs = {"inputs_embeds": embeds[None], "past_key_values": cache}
        with LayerInputs(self._layers, replace) as seen:
            self._run(inputs)
        kv = torch.stack([torch.stack([c.keys[0], c.values[0]]) for c in cache.layers])
        return Captured(seen.stacked(), kv)  # kv: (L, 2, n_kv, P, D)

    @property
    def _dtype(self) -> torch.dtype:
        return next(self._model.parameters()).dtype

    def _run(self, inputs: dict[str, Any]) -> Tensor:
        # the cache that is passed in is used either way; use_cache would only return it
        hidden: Tensor = self._model(**inputs, use_cache=False, return_dict=True).last_hidden_state
        return hidden


def _filled_cache(kv: Sequence[Tensor], dtype: torch.dtype) -> Any:
    """Each layer's (2, B, n_kv, P, D) as a cache. Made without a config: no window is cut off."""
    cache = DynamicCache()
    for layer, pair in enumerate(kv):
        cache.update(*pair.to(dtype).unbind(), layer)
    return cache
