"""What is minimised, by task: targets as tensors, and the loss of logits against them."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional as F

from sktuning.config import AdapterConfig, Task
from sktuning.data import Example, Target
from sktuning.errors import DataError, InputError
from sktuning.heads import Head
from sktuning.tokens import EncodedRow, Encoder


@dataclass(frozen=True, slots=True, eq=False)
class EncodedExample:
    """A row and its target: () int for one label, (C,) for many, () float, or (known words,)."""

    row: EncodedRow
    target: Tensor


@dataclass(frozen=True, slots=True)
class Scale:
    """Regression targets are learned standardised and served as they were."""

    mean: float = 0.0
    deviation: float = 1.0

    @classmethod
    def of(cls, examples: Sequence[Example]) -> "Scale":
        """Mean and standard deviation of numeric targets."""
        values = torch.tensor([_number(e.target) for e in examples], dtype=torch.float64)
        return cls(float(values.mean()), max(float(values.std(correction=0)), 1e-6))

    def unscale(self, head: Head) -> Head:
        """The head that answers in the targets' own unit."""
        return Head(head.weight * self.deviation, head.bias * self.deviation + self.mean)


class Objective:
    """Targets and loss of one task."""

    def __init__(self, config: AdapterConfig, examples: Sequence[Example]) -> None:
        self._config = config
        self._index = {label: i for i, label in enumerate(config.labels)}
        self.scale = Scale.of(examples) if config.task is Task.REGRESSION else Scale()

    def encode(
        self, examples: Sequence[Example], encoder: Encoder, max_length: int
    ) -> list[EncodedExample]:
        """Rows and targets.

        Raises:
            DataError: a row cannot be read, or a target is not among the labels.
        """
        rows = encoder.encode([e.input for e in examples], self._config, max_length=max_length)
        return [
            EncodedExample(_usable(row, i), self._target(example.target, row, i))
            for i, (row, example) in enumerate(zip(rows, examples, strict=True))
        ]

    def join(self, targets: Sequence[Tensor]) -> Tensor:
        """The rows' targets as one tensor: (R, …), or (known words of all rows,)."""
        if self._config.task is Task.TOKENS:
            return torch.cat(list(targets))
        return torch.stack(list(targets))

    def loss(self, logits: Tensor, targets: Tensor) -> Tensor:
        """Mean loss of logits (N, C) against joined targets."""
        targets = targets.to(logits.device)
        if self._config.task is Task.MULTI_LABEL:
            return F.binary_cross_entropy_with_logits(logits, targets)
        if self._config.task is Task.REGRESSION:
            return F.mse_loss(logits[:, 0], targets)
        return F.cross_entropy(logits, targets)

    def _target(self, target: Target, row: EncodedRow | InputError, number: int) -> Tensor:
        try:
            return self._tensor(target, _usable(row, number))
        except KeyError as error:
            raise DataError(f"row {number + 1}: {error} is not one of the labels") from None

    def _tensor(self, target: Target, row: EncodedRow) -> Tensor:
        task = self._config.task
        if task is Task.REGRESSION:
            return torch.tensor((_number(target) - self.scale.mean) / self.scale.deviation)
        if task is Task.SINGLE_LABEL:
            return torch.tensor(self._index[str(target)])
        names = target if isinstance(target, tuple) else (str(target),)
        if task is Task.MULTI_LABEL:
            hot = torch.zeros(len(self._index))
            hot[[self._index[name] for name in names]] = 1.0
            return hot
        known = [tag for tag, at in zip(names, row.word_index or (), strict=True) if at >= 0]
        return torch.tensor([self._index[tag] for tag in known], dtype=torch.long)


def _usable(row: EncodedRow | InputError, number: int) -> EncodedRow:
    if isinstance(row, InputError):
        raise DataError(f"row {number + 1} cannot be read: {row}")
    return row


def _number(target: Target) -> float:
    if isinstance(target, float | int):
        return float(target)
    raise DataError(f"a number was expected, got {target!r}")
