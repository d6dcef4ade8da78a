"""The trainable maps from semantic states to what is added to them; all start at zero."""

import torch
from torch import Tensor, nn


class LowRank(nn.Module):
    """x to (layer-normed x)·U·V, V starting at zero; a stack of L maps of rank r.

    Args:
        count: L.
        size_in, size_out: widths.
    """

    def __init__(self, count: int, size_in: int, size_out: int, rank: int) -> None:
        super().__init__()
        self.u = nn.Parameter(torch.randn(count, size_in, rank) / size_in**0.5)
        self.v = nn.Parameter(torch.zeros(count, rank, size_out))

    def forward(self, states: Tensor) -> Tensor:
        """(L, P, size_in) to (L, P, size_out)."""
        normed = nn.functional.layer_norm(states, states.shape[-1:])
        return normed @ self.u @ self.v


class Linear(nn.Module):
    """x to (layer-normed x)·W, W starting at zero; a stack of L maps."""

    def __init__(self, count: int, size_in: int, size_out: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.zeros(count, size_in, size_out))

    def forward(self, states: Tensor) -> Tensor:
        """(L, P, size_in) to (L, P, size_out)."""
        normed = nn.functional.layer_norm(states, states.shape[-1:])
        return normed @ self.weight


class Offset(nn.Module):
    """A free tensor added to the state: training it is training the state itself.

    Args:
        shape: of the state.
        unit: what the tensor is measured in, so that one learning rate suits every base and layer.
    """

    unit: Tensor

    def __init__(self, shape: torch.Size, unit: Tensor) -> None:
        super().__init__()
        self.delta = nn.Parameter(torch.zeros(shape))
        self.register_buffer("unit", unit.float(), persistent=False)

    def forward(self, states: Tensor) -> Tensor:
        """The offset, whatever the state."""
        return self.delta * self.unit


class Nothing(nn.Module):
    """The frozen transform: nothing is added and nothing is trained."""

    def forward(self, states: Tensor) -> Tensor | float:
        """Zero."""
        return 0.0
