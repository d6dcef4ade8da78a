"""The packed forward: many texts for many prompts in one row of tokens, without padding."""

from collections.abc import Callable, Sequence
from itertools import accumulate
from typing import Any

import torch
from torch import Tensor, nn

from sktuning.attention import Bucket, Packing, group_by_length
from sktuning.layers import LayerInputs
from sktuning.rows import Captured, Hidden, Row, ragged_arange


class PackedForward:
    """Runs a stock model whose attention is `sktuning.attention`.

    Args:
        model: a transformers model without a head.
        layers: its layers, in order.
        position_start: the position number of a sequence's first token.
        accepts: the names of the keyword arguments that its forward takes.
    """

    def __init__(
        self, model: nn.Module, layers: nn.ModuleList, position_start: int, accepts: frozenset[str]
    ) -> None:
        self._model = model
        self._layers = layers
        self._position_start = position_start
        self._accepts = accepts

    def __call__(self, rows: Sequence[Row], *, modules: list[nn.Module] | None = None) -> Hidden:
        """Last hidden states of the rows' own tokens."""
        device = self._embedding.weight.device
        packing = pack(rows, device)
        packing.modules = modules
        ids = torch.tensor([i for row in rows for i in row.ids], device=device)
        prompts = [row.prompt_length for row in rows]
        inputs: dict[str, Any] = {"input_ids": ids[None]}
        own = None
        if any(prompts):
            own = _own_tokens(rows).to(device)
            inputs = {"inputs_embeds": self._embed(rows, ids, own)[None]}
        hidden = self._run(inputs, rows, packing)  # (T, H)
        lengths = tuple(len(row) for row in rows)
        if own is None:
            return Hidden(hidden, lengths)
        firsts = hidden.index_select(0, torch.tensor(_starts(rows), device=device))
        return Hidden(hidden.index_select(0, own), lengths, firsts)

    def capture(self, embeds: Tensor, replace: Tensor | None = None) -> Captured:
        """Read a prompt alone.

        Args:
            embeds: its input embeddings, (P, E).
            replace: what every layer gets instead of its own input, (L, P, H).
        """
        row = Row(range(len(embeds)), [0] * len(embeds))
        packing = pack([row], embeds.device)
        packing.collected = []
        with LayerInputs(self._layers, replace) as inputs:
            self._run({"inputs_embeds": embeds[None]}, [row], packing)
        kv = torch.stack([torch.stack(pair) for pair in packing.collected])
        return Captured(inputs.stacked(), kv)  # kv: (L, 2, n_kv, P, D)

    @property
    def _embedding(self) -> nn.Embedding:
        get: Callable[[], nn.Embedding] = self._model.get_input_embeddings  # type: ignore[assignment]
        return get()

    def _embed(self, rows: Sequence[Row], ids: Tensor, own: Tensor) -> Tensor:
        """Text embeddings with each row's prompt before them, (T, E)."""
        texts: Tensor = self._embedding(ids)
        lengths = [row.prompt_length + len(row) for row in rows]
        starts = torch.tensor(lengths).cumsum(0) - torch.tensor(lengths)
        with_prompt = [i for i, row in enumerate(rows) if row.prompt_length]
        at = ragged_arange(
            [rows[i].prompt_length for i in with_prompt], [int(starts[i]) for i in with_prompt]
        ).to(ids.device)
        states = [rows[i].state for i in with_prompt]
        prompts = torch.cat([s.embeds for s in states if s is not None and s.embeds is not None])
        out = texts.new_zeros(sum(lengths), texts.shape[1])
        out = out.index_copy(0, own, texts)
        return out.index_copy(0, at, prompts.to(texts.dtype))

    def _run(self, inputs: dict[str, Any], rows: Sequence[Row], packing: Packing) -> Tensor:
        device = packing.buckets[0].query_valid.device
        if "position_ids" in self._accepts:
            positions = _positions(rows) + self._position_start
            inputs["position_ids"] = positions[None].to(device)
        if "token_type_ids" in self._accepts:
            types = [t for row in rows for t in (*[0] * row.prompt_length, *row.type_ids)]
            inputs["token_type_ids"] = torch.tensor(types, device=device)[None]
        if "use_cache" in self._accepts:
            inputs["use_cache"] = False
        out = self._model(**inputs, packing=packing, return_dict=True)
        hidden: Tensor = out.last_hidden_state[0]
        return hidden


def pack(rows: Sequence[Row], device: torch.device) -> Packing:
    """Lay rows out for attention: buckets of near lengths, prefixes stacked."""
    lengths = [row.prompt_length + len(row) for row in rows]
    starts = (torch.tensor(lengths).cumsum(0) - torch.tensor(lengths)).tolist()
    groups = group_by_length(lengths)
    buckets, places, at = [], [], 0
    slots = torch.empty(sum(lengths), dtype=torch.long)
    for group in groups:
        group_lengths = [lengths[i] for i in group]
        width = max(group_lengths)
        index = torch.tensor([starts[i] for i in group])[:, None] + torch.arange(width)
        valid = torch.arange(width)[None] < torch.tensor(group_lengths)[:, None]
        place = at + torch.arange(len(group) * width).view(len(group), width)
        slots[index[valid]] = place[valid]
        at += len(group) * width
        places.append(torch.where(valid, index, index[:, :1]).flatten())
        buckets.append(_bucket([rows[i] for i in group], valid, device))
    if at == len(slots) and bool((slots.diff() == 1).all()):
        return Packing(buckets, None, None)
    return Packing(buckets, torch.cat(places).to(device), slots.to(device))


def _bucket(rows: Sequence[Row], valid: Tensor, device: torch.device) -> Bucket:
    prefix_kv, prefix_valid = stack_prefixes(rows)
    is_even = bool(valid.all()) and (prefix_valid is None or bool(prefix_valid.all()))
    return Bucket(
        valid.to(device),
        None if prefix_valid is None else prefix_valid.to(device),
        prefix_kv,
        is_even,
    )


def stack_prefixes(rows: Sequence[Row]) -> tuple[Sequence[Tensor] | None, Tensor | None]:
    """The rows' prefixes side by side, padded on the left.

    Returns:
        each layer's keys and values (2, B, n_kv, P, D), and which of their tokens are real (B, P)
        on the processor; both None when no row has a prefix.
    """
    kvs = [None if row.state is None else row.state.kv for row in rows]
    longest = max(row.prefix_length for row in rows)
    if not longest:
        return None, None
    lengths = torch.tensor([row.prefix_length for row in rows])
    valid = torch.arange(longest)[None] >= longest - lengths[:, None]
    first = next(kv for kv in kvs if kv is not None)
    if all(kv is first for kv in kvs):  # one adapter for all rows: no copy
        layers = first.unbind()
        return [kv[:, None].expand(-1, len(rows), -1, -1, -1) for kv in layers], valid
    padded = [_pad_left(kv, longest, first) for kv in kvs]
    return torch.stack(padded, dim=2).unbind(), valid


def _pad_left(kv: Tensor | None, length: int, like: Tensor) -> Tensor:
    if kv is None:
        layers, two, heads, _, dim = like.shape
        return like.new_zeros(layers, two, heads, length, dim)
    return nn.functional.pad(kv, (0, 0, length - kv.shape[3], 0))


def _own_tokens(rows: Sequence[Row]) -> Tensor:
    """Where the texts' own tokens stand in the packed row, prompts left out."""
    starts = [at + row.prompt_length for at, row in zip(_starts(rows), rows, strict=True)]
    return ragged_arange([len(row) for row in rows], starts)


def _starts(rows: Sequence[Row]) -> list[int]:
    """Where each row begins in the packed row, with its prompt's embeddings."""
    ends = list(accumulate(row.prompt_length + len(row) for row in rows))
    return [0, *ends[:-1]]


def _positions(rows: Sequence[Row]) -> Tensor:
    """Position numbers from 0: a prompt in the row takes 0…P-1, the text starts at its offset."""
    lengths, starts = [], []
    for row in rows:
        lengths += [row.prompt_length, len(row)]
        starts += [0, row.offset]
    return ragged_arange(lengths, starts)
