"""The head: one linear map from a pooled vector, or from each word's, to the outputs."""

from dataclasses import dataclass
from typing import Self

import torch
from torch import Tensor

from sktuning.errors import ConfigError


@dataclass(frozen=True, slots=True, eq=False)
class Head:
    """Constant weights of a linear head; always computed in float32.

    Attributes:
        weight: (C, H).
        bias: (C,).

    Raises:
        ConfigError: the shapes do not fit each other.
    """

    weight: Tensor
    bias: Tensor

    def __post_init__(self) -> None:
        if self.weight.dim() != 2 or self.bias.shape != self.weight.shape[:1]:
            shapes = f"{tuple(self.weight.shape)} and {tuple(self.bias.shape)}"
            raise ConfigError(f"head: weight (C, H) and bias (C,) expected, got {shapes}")

    def __call__(self, pooled: Tensor) -> Tensor:
        """(…, H) to (…, C)."""
        return torch.nn.functional.linear(pooled.float(), self.weight, self.bias)

    @property
    def num_outputs(self) -> int:
        """C."""
        return int(self.weight.shape[0])

    @property
    def nbytes(self) -> int:
        """Bytes of both tensors."""
        return self.weight.nbytes + self.bias.nbytes

    def to(self, device: torch.device | str) -> Self:
        """The same head elsewhere; it stays in float32."""
        return type(self)(
            self.weight.detach().to(device).float(), self.bias.detach().to(device).float()
        )
