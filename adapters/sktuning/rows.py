"""What goes into a forward and what comes out, whichever path computes it."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from sktuning.state import PromptState


@dataclass(frozen=True, slots=True, eq=False)
class Row:
    """One text for one prompt.

    Attributes:
        ids: token ids of the text, special tokens included.
        type_ids: one a token; ignored by bases without token types.
        state: the prompt before it, if any.
        offset: position of the text's first token.
    """

    ids: Sequence[int]
    type_ids: Sequence[int]
    state: PromptState | None = None
    offset: int = 0

    def __len__(self) -> int:
        return len(self.ids)

    @property
    def prefix_length(self) -> int:
        """Keys and values that stand before the row's own in every layer."""
        return 0 if self.state is None or self.state.kv is None else self.state.length

    @property
    def prompt_length(self) -> int:
        """Embeddings that stand before the text's own in the row itself."""
        return 0 if self.state is None or self.state.embeds is None else self.state.length


@dataclass(frozen=True, slots=True, eq=False)
class Hidden:
    """Last hidden states of the texts' own tokens, one row after the other.

    Attributes:
        flat: (T, H).
        lengths: tokens of each row; they add up to T.
        firsts: state of each row's first position, virtual tokens counted, (R, H); None: no row
            has virtual tokens in it.
    """

    flat: Tensor
    lengths: tuple[int, ...]
    firsts: Tensor | None = None

    @property
    def starts(self) -> list[int]:
        """Where each row begins in `flat`."""
        starts, at = [], 0
        for length in self.lengths:
            starts.append(at)
            at += length
        return starts


@dataclass(frozen=True, slots=True, eq=False)
class Captured:
    """What the base understood of a prompt read alone.

    Attributes:
        hidden: the input of every layer, (L, P, H).
        kv: every layer's keys and values, (L, 2, n_kv, P, D).
    """

    hidden: Tensor
    kv: Tensor


def ragged_arange(lengths: Sequence[int], starts: Sequence[int]) -> Tensor:
    """``starts[i], starts[i] + 1, …`` for each i in turn, as one tensor (sum of lengths,)."""
    counts = torch.tensor(lengths)
    ends = counts.cumsum(0)
    within = torch.arange(int(ends[-1])) - (ends - counts).repeat_interleave(counts)
    return within + torch.tensor(starts).repeat_interleave(counts)
