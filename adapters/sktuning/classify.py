"""The one forward path, base and prompts and heads, that training and serving share."""

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from sktuning.adapter import Adapter
from sktuning.base import FrozenBase
from sktuning.config import AdapterConfig, Pooling, Task, TextOffset
from sktuning.rows import Hidden, Row
from sktuning.semantics import SemanticCache
from sktuning.state import PromptState
from sktuning.tokens import EncodedRow, Encoder


class Classifier:
    """Classifies encoded rows, each with its own adapter, in one forward.

    Args:
        base: the frozen base that all adapters belong to.
    """

    def __init__(self, base: FrozenBase) -> None:
        self.base = base
        self.encoder = Encoder(base.tokenizer, is_causal=base.is_causal, max_length=base.max_length)
        self.semantics = SemanticCache(base, self.encoder)

    def cost(self, row: EncodedRow, adapter: Adapter) -> int:
        """Tokens that a row takes of a batch's budget: its own and its prompt's."""
        return len(row) + adapter.state.length

    @torch.inference_mode()
    def logits(self, rows: Sequence[tuple[EncodedRow, Adapter]]) -> list[np.ndarray]:
        """One forward over rows of any adapters.

        Returns:
            float32 logits a row: (C,), or (words, C) for token classification. Words that were
            cut off have none: their logits are NaN.
        """
        if not rows:
            return []
        hidden = self.hidden([(row, a.config, a.state) for row, a in rows])
        return self._through_heads(hidden, rows)

    @torch.inference_mode()
    def features(self, rows: Sequence[EncodedRow], config: AdapterConfig) -> list[np.ndarray]:
        """What a head would read of the frozen base without a prompt: (H,), or (words, H)."""
        hidden = self.hidden([(row, config, None) for row in rows])
        pooled = pool(hidden, rows, config).cpu().float().numpy()
        return split_by_row(pooled, rows, config)

    def hidden(
        self, rows: Sequence[tuple[EncodedRow, AdapterConfig, PromptState | None]]
    ) -> Hidden:
        """Last hidden states of the texts' own tokens; gradient reaches the states."""
        return self.base.forward(
            [
                Row(row.ids, row.type_ids, state, text_offset(config) if state is not None else 0)
                for row, config, state in rows
            ]
        )

    def _through_heads(
        self, hidden: Hidden, rows: Sequence[tuple[EncodedRow, Adapter]]
    ) -> list[np.ndarray]:
        """Each adapter's rows through its own head, in one product an adapter and pooling."""
        outputs: list[np.ndarray | None] = [None] * len(rows)
        groups: dict[int, list[int]] = {}
        for i, (_, adapter) in enumerate(rows):
            groups.setdefault(id(adapter), []).append(i)
        pooled = _mean_pool(hidden)
        for group in groups.values():
            adapter = rows[group[0]][1]
            encoded = [rows[i][0] for i in group]
            picked = _pool_group(hidden, pooled, group, encoded, adapter.config)
            logits = adapter.head(picked).cpu().numpy()
            for i, one in zip(group, split_by_row(logits, encoded, adapter.config), strict=True):
                outputs[i] = one
        return [out for out in outputs if out is not None]


def text_offset(config: AdapterConfig) -> int:
    """The position of the text's first token."""
    return config.num_virtual_tokens if config.text_offset is TextOffset.AFTER_PROMPT else 0


def pool(hidden: Hidden, rows: Sequence[EncodedRow], config: AdapterConfig) -> Tensor:
    """What the head reads: (R, H), or the rows' known words behind each other, (words, H)."""
    group = range(len(rows))
    return _pool_group(hidden, _mean_pool(hidden), group, rows, config)


def _mean_pool(hidden: Hidden) -> Tensor:
    """Mean of each row's own tokens, (R, H), in float32."""
    lengths = torch.tensor(hidden.lengths, device=hidden.flat.device)
    owner = torch.arange(len(hidden.lengths), device=hidden.flat.device)
    owner = owner.repeat_interleave(lengths)
    sums = hidden.flat.new_zeros(len(hidden.lengths), hidden.flat.shape[1], dtype=torch.float32)
    return sums.index_add(0, owner, hidden.flat.float()) / lengths[:, None]


def _pool_group(
    hidden: Hidden,
    means: Tensor,
    group: Sequence[int],
    rows: Sequence[EncodedRow],
    config: AdapterConfig,
) -> Tensor:
    if config.task is not Task.TOKENS and config.pooling is Pooling.MEAN:
        return means[list(group)]
    starts = hidden.starts
    if config.task is Task.TOKENS:
        at = [
            starts[i] + word
            for i, row in zip(group, rows, strict=True)
            for word in row.word_index or ()
            if word >= 0
        ]
    elif config.pooling is Pooling.FIRST:
        if config.pools_prompt and hidden.firsts is not None:
            return hidden.firsts[list(group)].float()
        at = [starts[i] for i in group]
    else:
        at = [starts[i] + hidden.lengths[i] - 1 for i in group]
    return hidden.flat[torch.tensor(at, dtype=torch.long, device=hidden.flat.device)].float()


def split_by_row(
    values: np.ndarray, rows: Sequence[EncodedRow], config: AdapterConfig
) -> list[np.ndarray]:
    """`pool`'s layout back to one array a row; words that were cut off become NaN."""
    if config.task is not Task.TOKENS:
        return list(values)
    out, at = [], 0
    for row in rows:
        index = np.asarray(row.word_index or (), dtype=np.int64)
        one = np.full((len(index), values.shape[1]), np.nan, dtype=np.float32)
        known = int((index >= 0).sum())
        one[index >= 0] = values[at : at + known]
        at += known
        out.append(one)
    return out
