"""Rows as stock models want them: side by side, padded on the right to the longest."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Self

import torch
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence

from sktuning.rows import Hidden
from sktuning.tokens import EncodedRow


@dataclass(frozen=True, slots=True, eq=False)
class Padded:
    """B rows of T tokens.

    Padding on the right suits causal bases too: no token of the text sees what stands after it,
    positions need no correction, and what is pooled is picked by the mask.

    Attributes:
        ids, mask, type_ids: (B, T); the mask is 1 at the texts' own tokens.
    """

    ids: Tensor
    mask: Tensor
    type_ids: Tensor

    @classmethod
    def of(cls, rows: Sequence[EncodedRow], pad_id: int, device: torch.device) -> Self:
        """Pad rows to the longest of them."""
        ids = _stack([row.ids for row in rows], pad_id)
        mask = _stack([[1] * len(row) for row in rows], 0)
        types = _stack([row.type_ids for row in rows], 0)
        return cls(ids.to(device), mask.to(device), types.to(device))

    def mask_behind(self, length: int) -> Tensor:
        """The mask with so many tokens in front that all may see, (B, length + T)."""
        return torch.cat([self.mask.new_ones(len(self.mask), length), self.mask], dim=1)

    def own(self, states: Tensor) -> Hidden:
        """The texts' own of (B, T, …), one row behind the other, without the padding."""
        lengths = tuple(int(n) for n in self.mask.sum(dim=1))
        return Hidden(states[self.mask.bool()], lengths)


def _stack(rows: Sequence[Sequence[int]], padding: int) -> Tensor:
    return pad_sequence([torch.tensor(row) for row in rows], True, padding)
