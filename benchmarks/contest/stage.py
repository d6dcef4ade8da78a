"""What a contender is built on: one base, loaded once, and the adapter's configuration."""

from dataclasses import dataclass
from typing import Any

import torch

from sktuning.base import FrozenBase
from sktuning.classify import Classifier
from sktuning.config import AdapterConfig
from sktuning.semantics import Semantics


@dataclass(frozen=True, slots=True, eq=False)
class Stage:
    """The same for every contender of a dataset.

    Attributes:
        config: task, labels, prompt text and pooling; its seed is the run's.
        location: the folder that the base was read from, for methods that read it themselves.
    """

    classifier: Classifier
    config: AdapterConfig
    location: str

    @property
    def base(self) -> FrozenBase:
        """The frozen base, with this project's attention in it."""
        return self.classifier.base

    @property
    def device(self) -> torch.device:
        """Where everything is."""
        return self.base.device

    @property
    def pad_id(self) -> int:
        """Any token would do: what is padded is masked."""
        return int(self.base.tokenizer.pad_token_id or 0)

    @property
    def semantics(self) -> Semantics:
        """The prompt's words as the base understands them."""
        return self.classifier.semantics.get(self.config.prompt_text)

    def autocast(self, wanted: bool = True) -> torch.autocast:
        """Mixed precision for models of float32, where the frozen base is in a shorter format."""
        dtype = self.base.dtype
        return torch.autocast(self.device.type, dtype, wanted and dtype is not torch.float32)

    def stock(self) -> Any:
        """The base's own model with the attention that transformers has for it.

        From then on the model is no longer `base`'s: only one contender is built on a stage.
        """
        _ = self.semantics  # read while the base can
        self.base.model.set_attn_implementation("sdpa")  # type: ignore[operator]
        return self.base.model
