"""What the training loop asks of a method, and the head that all but one of them share."""

from collections.abc import Mapping, Sequence
from typing import Protocol

import torch
from torch import Tensor, nn

from contest.stage import Stage
from sktuning.classify import pool
from sktuning.rows import Hidden
from sktuning.tokens import EncodedRow
from sktuning.training.objective import EncodedExample, Objective
from sktuning.training.trainer import warm_start_rows
from sktuning.training.warmstart import fit_head, fold

WARM_START_BATCH = 64


class Contender(Protocol):
    """A method with a head, ready to be trained."""

    @property
    def own(self) -> list[nn.Parameter]:
        """The method's parameters: the learning rate is theirs."""
        ...

    @property
    def head(self) -> list[nn.Parameter]:
        """The head's parameters: every method has the same rate for them."""
        ...

    @property
    def is_free(self) -> bool:
        """Whether its own parameters are an SK prompt's state itself."""
        ...

    def set_training(self, on: bool) -> None:
        """Whether the base drops out, where the method has it so."""
        ...

    def warm_start(self, examples: Sequence[EncodedExample], objective: Objective) -> None:
        """Fit the head before the first step."""
        ...

    def logits(self, rows: Sequence[EncodedRow], keep: Tensor | None = None) -> Tensor:
        """(R, C), or (known words, C); `keep` scales the pooled vector's parts (dropout)."""
        ...

    def penalty(self) -> Tensor:
        """What is added to the loss."""
        ...

    def served(self) -> Mapping[str, Tensor]:
        """What serving needs beside the base."""
        ...


class Body(Protocol):
    """The method itself: what it makes of the base's view of a text.

    Attributes:
        is_free: whether what is trained is an SK prompt's state itself.
    """

    is_free: bool

    def hidden(self, rows: Sequence[EncodedRow]) -> Hidden:
        """Last hidden states of the texts' own tokens."""
        ...

    def parameters(self) -> list[nn.Parameter]:
        """What is trained."""
        ...

    def set_training(self, on: bool) -> None:
        """Whether the base drops out."""
        ...

    def served(self) -> Mapping[str, Tensor]:
        """What serving needs beside base and head."""
        ...


class Headed:
    """A body with the shared head: pooled, warm-started and held as `sktuning` trains it.

    Args:
        body: the method; kept as `body`.
        stage: base and configuration.
    """

    def __init__(self, body: Body, stage: Stage) -> None:
        self.body = body
        self._config = stage.config
        size = self.num_features(stage)
        self._head = nn.Linear(size, stage.config.num_outputs).to(stage.device)
        self._l2 = 0.0
        self._mean = torch.zeros(size, device=stage.device)
        self._deviation = torch.ones(size, device=stage.device)

    @staticmethod
    def num_features(stage: Stage) -> int:
        """How many numbers the head reads of a row or word."""
        return stage.base.hidden_size

    @property
    def own(self) -> list[nn.Parameter]:
        """The body's."""
        return self.body.parameters()

    @property
    def is_free(self) -> bool:
        """As the body says."""
        return self.body.is_free

    @property
    def head(self) -> list[nn.Parameter]:
        """Weight and bias."""
        return list(self._head.parameters())

    def set_training(self, on: bool) -> None:
        """As the body has it; the head's dropout is the loop's."""
        self.body.set_training(on)

    def pooled(self, rows: Sequence[EncodedRow]) -> Tensor:
        """What the head reads: means over the texts' own tokens, or the words' first tokens."""
        return pool(self.body.hidden(rows), rows, self._config)

    def logits(self, rows: Sequence[EncodedRow], keep: Tensor | None = None) -> Tensor:
        """Pooled, standardised, dropped out, through the head."""
        features = (self.pooled(rows) - self._mean) / self._deviation
        return self.judge(features if keep is None else features * keep)

    def judge(self, features: Tensor) -> Tensor:
        """From standardised features to logits."""
        logits: Tensor = self._head(features)
        return logits

    def penalty(self) -> Tensor:
        """The warm start's hold on the head goes on, see `sktuning.training.trainable`."""
        return self._l2 * self._head.weight.square().sum() / 2

    def warm_start(self, examples: Sequence[EncodedExample], objective: Objective) -> None:
        """Fit the head on what the untrained method says of the rows."""
        generator = torch.Generator().manual_seed(self._config.seed)
        order = torch.randperm(len(examples), generator=generator).tolist()
        kept = [examples[i] for i in order[: warm_start_rows(len(self._config.labels))]]
        kept.sort(key=lambda example: len(example.row))
        targets = objective.join([e.target for e in kept])
        features = self._features([e.row for e in kept])
        fitted = fit_head(features, targets, objective.loss, self._config.num_outputs)
        with torch.no_grad():
            self._head.weight.copy_(fitted.weight)
            self._head.bias.copy_(fitted.bias)
            self._mean.copy_(fitted.mean)
            self._deviation.copy_(fitted.deviation)
        self._l2 = fitted.l2

    def served(self) -> Mapping[str, Tensor]:
        """The body's and the head."""
        tensors = (self._head.weight, self._head.bias, self._mean, self._deviation)
        head = fold(*(tensor.detach() for tensor in tensors))
        return {**self.body.served(), "head.weight": head.weight, "head.bias": head.bias}

    @torch.no_grad()
    def _features(self, rows: Sequence[EncodedRow]) -> Tensor:
        size = WARM_START_BATCH
        batches = [rows[i : i + size] for i in range(0, len(rows), size)]
        return torch.cat([self.pooled(batch).float().cpu() for batch in batches])
