"""What a training says of itself while it runs, and what it leaves behind."""

from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from typing import Any, Literal

from torch import Tensor

from sktuning.adapter import Adapter
from sktuning.config import TrainingConfig
from sktuning.golden import Golden

Phase = Literal["warm-start", "training", "evaluating"]


@dataclass(frozen=True, slots=True)
class Progress:
    """One moment of a training.

    Attributes:
        step, num_steps: optimiser steps done and planned.
        epoch: epochs done, in parts.
        loss: of the last step; None in phases without one.
        learning_rate: of the prompt.
        rows_per_s: over the steps since the training (or its resumption) began.
        eta_s: seconds left at that rate.
        metrics: of the held-out rows, when they were just evaluated.
        is_best: whether the state that they are of is kept as the best so far.
    """

    phase: Phase
    step: int
    num_steps: int
    epoch: float
    loss: float | None = None
    learning_rate: float | None = None
    rows_per_s: float | None = None
    eta_s: float | None = None
    metrics: Mapping[str, float] | None = None
    is_best: bool | None = None

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON values, without what is absent."""
        values = {f.name: getattr(self, f.name) for f in fields(self)}
        values["metrics"] = None if self.metrics is None else dict(self.metrics)
        return {name: value for name, value in values.items() if value is not None}


@dataclass(frozen=True, slots=True, eq=False)
class TrainedAdapter:
    """An adapter ready to be saved, with everything worth writing down about it.

    Attributes:
        adapter: what is served, on the processor in float32.
        metrics: of the held-out rows, computed through the served path.
        main_metric, main_score: the one number that versions are compared by.
        golden: inputs with their logits, for the self-test.
        trainable: the trained parameters themselves, for further training.
        training: how it was trained.
        label_counts: training rows (tokens: words) a label.
        num_train, num_held_out: rows.
        num_truncated: training rows that were cut to the length limit.
        num_steps: optimiser steps run.
        kept_step: the step whose state this is: the one of the best evaluation, 0 being the head
            fitted to the untrained prompt; or the last where held-out rows are too few to tell.
        seconds: of computing, over all attempts.
        history: the evaluations, in order.
        class_weights: what the loss of rows was multiplied by, a label; empty: nothing.
    """

    adapter: Adapter
    metrics: Mapping[str, Any]
    main_metric: str
    main_score: float
    golden: Golden
    trainable: Mapping[str, Tensor]
    training: TrainingConfig
    label_counts: Mapping[str, int]
    num_train: int
    num_held_out: int
    num_truncated: int
    num_steps: int
    kept_step: int
    seconds: float
    history: tuple[Mapping[str, float], ...]
    class_weights: Mapping[str, float] = field(default_factory=dict)

    @property
    def num_trainable(self) -> int:
        """Trained numbers, the head's among them."""
        return sum(tensor.numel() for tensor in self.trainable.values())
