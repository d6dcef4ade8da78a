"""What is minimised, by task: targets as tensors, and the loss of logits against them."""

from collections.abc import Mapping, Sequence
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
    """Targets and loss of one task.

    Args:
        weights: of rows with a label, by its name; empty: all weigh the same.
    """

    def __init__(
        self,
        config: AdapterConfig,
        examples: Sequence[Example],
        weights: Mapping[str, float] | None = None,
    ) -> None:
        self._config = config
        self._weights = torch.tensor([weights[n] for n in config.labels]) if weights else None
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

    def loss(self, logits: Tensor, targets: Tensor, count: int | None = None) -> Tensor:
        """Mean loss of logits (N, C) against joined targets; weights do not change what N is.

        Args:
            count: N of the whole that these are a part of; the parts' losses add up to its own.
        """
        targets = targets.to(logits.device)
        weights = None if self._weights is None else self._weights.to(logits.device)
        count = max(len(targets) if count is None else count, 1)
        if self._config.task is Task.MULTI_LABEL:
            total = F.binary_cross_entropy_with_logits(
                logits, targets, pos_weight=weights, reduction="sum"
            )
            return total / (count * logits.shape[1])
        if self._config.task is Task.REGRESSION:
            return F.mse_loss(logits[:, 0], targets, reduction="sum") / count
        return F.cross_entropy(logits, targets, weight=weights, reduction="sum") / count

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
