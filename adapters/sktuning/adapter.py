"""An adapter as it is served: configuration, prompt state and head, all immutable."""

from dataclasses import dataclass
from typing import Self

import torch

from sktuning.config import AdapterConfig
from sktuning.errors import ConfigError
from sktuning.heads import Head
from sktuning.state import PromptState


@dataclass(frozen=True, slots=True, eq=False)
class Adapter:
    """A trained classifier on a frozen base.

    Raises:
        ConfigError: the tensors do not fit the configuration.
    """

    config: AdapterConfig
    state: PromptState
    head: Head

    def __post_init__(self) -> None:
        if self.head.num_outputs != self.config.num_outputs:
            raise ConfigError(
                f"the head has {self.head.num_outputs} outputs, "
                f"the configuration {self.config.num_outputs}"
            )
        if self.head.activation is not self.config.head_activation:
            raise ConfigError(
                f"the head's hidden layer is followed by {self.head.activation}, "
                f"in the configuration by {self.config.head_activation}"
            )
        if self.state.length != self.config.num_virtual_tokens:
            raise ConfigError(
                f"the prompt state has {self.state.length} virtual tokens, "
                f"the configuration {self.config.num_virtual_tokens}"
            )

    @property
    def nbytes(self) -> int:
        """Bytes of all tensors: what keeping it resident costs."""
        return self.state.nbytes + self.head.nbytes

    def to(self, device: torch.device | str, dtype: torch.dtype) -> Self:
        """The same adapter on another device; the head stays in float32."""
        return type(self)(self.config, self.state.to(device, dtype), self.head.to(device))
