"""The prompt state: all that serving needs of a trained prompt, as constant tensors."""

from dataclasses import dataclass
from typing import Self

import torch
from torch import Tensor

from sktuning.errors import ConfigError


@dataclass(frozen=True, slots=True, eq=False)
class PromptState:
    """A materialised prompt of P virtual tokens; exactly one of the two tensors is there.

    Attributes:
        kv: keys and values to put before every layer's own, (L, 2, n_kv, P, D).
        embeds: input embeddings to put before the text's, (P, E); bidirectional bases only.

    Raises:
        ConfigError: none or both are given, or one has the wrong number of dimensions.
    """

    kv: Tensor | None = None
    embeds: Tensor | None = None

    def __post_init__(self) -> None:
        if (self.kv is None) == (self.embeds is None):
            raise ConfigError("a prompt state holds either keys and values or embeddings")
        tensor, dims = (self.kv, 5) if self.kv is not None else (self.embeds, 2)
        assert tensor is not None
        if tensor.dim() != dims:
            raise ConfigError(
                f"prompt state: {dims} dimensions expected, got {tuple(tensor.shape)}"
            )

    @property
    def tensor(self) -> Tensor:
        """The one tensor that is there."""
        tensor = self.kv if self.kv is not None else self.embeds
        assert tensor is not None
        return tensor

    @property
    def length(self) -> int:
        """P, the number of virtual tokens."""
        return int(self.tensor.shape[-2])

    @property
    def nbytes(self) -> int:
        """Bytes of the tensor."""
        return self.tensor.nbytes

    def to(self, device: torch.device | str, dtype: torch.dtype) -> Self:
        """The same state elsewhere or in another dtype."""
        if self.kv is not None:
            return type(self)(kv=self.kv.detach().to(device, dtype))
        return type(self)(embeds=self.tensor.detach().to(device, dtype))
