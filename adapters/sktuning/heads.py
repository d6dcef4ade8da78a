"""The head: from a pooled vector, or from each word's, to the outputs."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Self

import torch
from torch import Tensor

from sktuning.config import Activation
from sktuning.errors import ConfigError

_ACTIVATIONS: Mapping[Activation, Callable[[Tensor], Tensor]] = {
    Activation.TANH: torch.tanh,
    Activation.RELU: torch.relu,
    Activation.GELU: torch.nn.functional.gelu,
}


@dataclass(frozen=True, slots=True, eq=False)
class Dense:
    """Constant weights of a hidden layer, and what follows it; always computed in float32.

    Attributes:
        weight: (K, H).
        bias: (K,).

    Raises:
        ConfigError: the shapes do not fit each other.
    """

    weight: Tensor
    bias: Tensor
    activation: Activation

    def __post_init__(self) -> None:
        _check_linear(self.weight, self.bias, "hidden layer")

    def __call__(self, pooled: Tensor) -> Tensor:
        """(…, H) to (…, K)."""
        linear = torch.nn.functional.linear(pooled.float(), self.weight, self.bias)
        return _ACTIVATIONS[self.activation](linear)

    def to(self, device: torch.device | str) -> Self:
        """The same layer elsewhere; it stays in float32."""
        weight, bias = (t.detach().to(device).float() for t in (self.weight, self.bias))
        return type(self)(weight, bias, self.activation)


@dataclass(frozen=True, slots=True, eq=False)
class Head:
    """Constant weights of a linear head; always computed in float32.

    Attributes:
        weight: (C, H), or (C, K) after a hidden layer.
        bias: (C,).
        dense: the hidden layer before it; only imported adapters have one.

    Raises:
        ConfigError: the shapes do not fit each other.
    """

    weight: Tensor
    bias: Tensor
    dense: Dense | None = None

    def __post_init__(self) -> None:
        _check_linear(self.weight, self.bias, "head")
        if self.dense is not None and len(self.dense.bias) != self.weight.shape[1]:
            raise ConfigError(
                f"head: it reads {self.weight.shape[1]} numbers; "
                f"the hidden layer before it gives {len(self.dense.bias)}"
            )

    def __call__(self, pooled: Tensor) -> Tensor:
        """(…, H) to (…, C)."""
        features = pooled.float() if self.dense is None else self.dense(pooled)
        return torch.nn.functional.linear(features, self.weight, self.bias)

    @property
    def num_outputs(self) -> int:
        """C."""
        return int(self.weight.shape[0])

    @property
    def num_inputs(self) -> int:
        """H."""
        first = self.weight if self.dense is None else self.dense.weight
        return int(first.shape[1])

    @property
    def activation(self) -> Activation | None:
        """What follows the hidden layer; None when there is none."""
        return None if self.dense is None else self.dense.activation

    @property
    def nbytes(self) -> int:
        """Bytes of all its tensors."""
        dense = () if self.dense is None else (self.dense.weight, self.dense.bias)
        return sum(tensor.nbytes for tensor in (self.weight, self.bias, *dense))

    def to(self, device: torch.device | str) -> Self:
        """The same head elsewhere; it stays in float32."""
        weight, bias = (t.detach().to(device).float() for t in (self.weight, self.bias))
        return type(self)(weight, bias, None if self.dense is None else self.dense.to(device))


def _check_linear(weight: Tensor, bias: Tensor, name: str) -> None:
    if weight.dim() != 2 or bias.shape != weight.shape[:1]:
        shapes = f"{tuple(weight.shape)} and {tuple(bias.shape)}"
        raise ConfigError(f"{name}: weight (C, H) and bias (C,) expected, got {shapes}")
