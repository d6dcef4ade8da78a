"""Heads that an ablation tries in place of the linear one on the last layer's mean."""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

from contest.contender import Body, Headed
from contest.stage import Stage
from sktuning.classify import pool
from sktuning.config import Task
from sktuning.layers import find_layers
from sktuning.rows import Hidden
from sktuning.tokens import EncodedRow

BENT_WIDTH = 64


class MeanAndMax(Headed):
    """Beside the mean of a text's tokens their largest value in every dimension; words twice."""

    @staticmethod
    def num_features(stage: Stage) -> int:
        """Both."""
        return 2 * stage.base.hidden_size

    def pooled(self, rows: Sequence[EncodedRow]) -> Tensor:
        """(R, 2 H)."""
        hidden = self.body.hidden(rows)
        means = pool(hidden, rows, self._config)
        if self._config.task is Task.TOKENS:
            return torch.cat([means, means], dim=-1)
        texts = torch.split(hidden.flat.float(), list(hidden.lengths))
        return torch.cat([means, torch.stack([text.amax(dim=0) for text in texts])], dim=-1)


class LayerMix(Headed):
    """A learned average of all layers' states (ELMo, arXiv:1802.05365), from equal weights on."""

    def __init__(self, body: Body, stage: Stage) -> None:
        super().__init__(body, stage)
        self._states: list[Tensor] = []
        layers = find_layers(stage.base.model, stage.base.num_layers)
        self._weights = nn.Parameter(torch.zeros(len(layers), device=stage.device))
        for layer in layers:
            layer.register_forward_hook(self._keep)

    @property
    def head(self) -> list[nn.Parameter]:
        """The linear head's, and the layers' weights."""
        return [*super().head, self._weights]

    def pooled(self, rows: Sequence[EncodedRow]) -> Tensor:
        """(R, H)."""
        self._states.clear()
        lengths = self.body.hidden(rows).lengths
        weights = self._weights.softmax(dim=0)
        mixed = sum(w * state.float() for w, state in zip(weights, self._states, strict=True))
        return pool(Hidden(mixed, lengths), rows, self._config)

    def _keep(self, layer: nn.Module, inputs: Any, output: Any) -> None:
        states = output if isinstance(output, Tensor) else output[0]
        self._states.append(states.reshape(-1, states.shape[-1]))


class Bent(Headed):
    """A hidden layer beside the linear head, which alone is fitted before the first step."""

    def __init__(self, body: Body, stage: Stage) -> None:
        super().__init__(body, stage)
        last = nn.Linear(BENT_WIDTH, stage.config.num_outputs)
        nn.init.zeros_(last.weight)
        nn.init.zeros_(last.bias)
        first = nn.Linear(self.num_features(stage), BENT_WIDTH)
        self._bend = nn.Sequential(first, nn.GELU(), last).to(stage.device)

    @property
    def head(self) -> list[nn.Parameter]:
        """The linear head's, and the hidden layer's."""
        return [*super().head, *self._bend.parameters()]

    def judge(self, features: Tensor) -> Tensor:
        """Both added."""
        bent: Tensor = self._bend(features)
        return super().judge(features) + bent
