"""Steps with warmup and decay on accelerate; their state as named tensors, without pickle."""

from collections.abc import Callable, Sequence
from contextlib import nullcontext
from typing import Any

import torch
from accelerate import Accelerator
from torch import Tensor, nn
from transformers import get_linear_schedule_with_warmup

from sktuning.config import TrainingConfig
from sktuning.training.muon import Muon
from sktuning.training.trainable import Trainable


class Optimiser:
    """Steps a trainable.

    Args:
        trainable: what is trained; parameters under ``head`` have their own learning rate.
        training: rates, decay, warmup, clipping.
        num_steps: length of the schedule.
        accelerator: device, precision and processes.

    Attributes:
        model: the trainable as accelerate wants it called.
    """

    def __init__(
        self,
        trainable: Trainable,
        training: TrainingConfig,
        num_steps: int,
        accelerator: Accelerator,
    ) -> None:
        self._accelerator = accelerator
        self._max_norm = training.max_grad_norm
        self._named = [(n, p) for n, p in trainable.named_parameters() if p.requires_grad]
        prompt = [p for n, p in self._named if not n.startswith("head.")]
        head = [p for n, p in self._named if n.startswith("head.")]
        self._stepper = stepper(prompt, head, training, is_free=trainable.encoder.is_free)
        self._plan = (int(training.warmup_ratio * num_steps), num_steps)
        self._schedule = get_linear_schedule_with_warmup(self._stepper, *self._plan)
        prepared: tuple[nn.Module, Any] = accelerator.prepare(trainable, self._stepper)
        self.model, self._prepared = prepared

    @property
    def learning_rate(self) -> float:
        """Of the prompt, now."""
        return float(self._schedule.get_last_lr()[0])

    def add(self, loss: Callable[[], Tensor], penalty: Callable[[], Tensor] | None) -> Tensor:
        """Add the gradient of a part of the step's loss; returns that part.

        Args:
            loss: computes it. Gradients are averaged over the processes, so what is to be summed
                is to be given times their number.
            penalty: comes with the last part, in which the processes meet.
        """
        apart = self._accelerator.no_sync(self.model) if penalty is None else nullcontext()
        with apart:  # from the forward on: that is where it is decided
            part = loss()
            self._accelerator.backward(part if penalty is None else part + penalty())
        return part.detach()

    def step(self) -> None:
        """One step down the gradient that was added up."""
        self._accelerator.clip_grad_norm_(self.model.parameters(), self._max_norm)
        self._prepared.step()
        self._schedule.step()
        self._prepared.zero_grad()

    def tensors(self) -> dict[str, Tensor]:
        """Moments and step counts by parameter name."""
        state = self._stepper.state
        return {
            f"{name}/{key}": torch.as_tensor(value)
            for name, parameter in self._named
            for key, value in state.get(parameter, {}).items()
        }

    def restore(self, tensors: dict[str, Tensor], step: int) -> None:
        """Continue from `tensors` at `step`."""
        for name, parameter in self._named:
            own = {k.rpartition("/")[2]: v for k, v in tensors.items() if k.startswith(f"{name}/")}
            if own:
                # Adam counts its steps on the processor; the moments lie beside the parameter
                self._stepper.state[parameter] = {
                    k: v if k == "step" else v.to(parameter.device) for k, v in own.items()
                }
        self._schedule = get_linear_schedule_with_warmup(
            self._stepper, *self._plan, last_epoch=step - 1
        )


def stepper(
    prompt: Sequence[nn.Parameter],
    head: Sequence[nn.Parameter],
    training: TrainingConfig,
    *,
    is_free: bool,
) -> Muon:
    """AdamW, but Muon for a prompt whose state itself is trained.

    Args:
        training: its learning rates are set.
        is_free: whether the prompt's parameters are the state, a token a row.
    """
    groups: list[dict[str, Any]] = [{"params": head, "lr": training.head_learning_rate}]
    if prompt:
        own = {"params": prompt, "lr": training.learning_rate, "orthonormal": is_free}
        groups.insert(0, own)
    return Muon(groups, weight_decay=training.weight_decay)
