"""The one training loop of the contest; what it does a step is what `sktuning` does a step."""

import math
import time
from collections.abc import Iterator, Sequence

import torch
from torch import Tensor, nn
from transformers import get_linear_schedule_with_warmup

from contest.contender import Contender
from contest.variants import DEFAULT, Variant
from sktuning.config import FEW_EPOCHS, TrainingConfig
from sktuning.training.objective import EncodedExample, Objective
from sktuning.training.optimiser import stepper


def plan_epochs(epochs: int, min_steps: int, num_rows: int, batch_size: int) -> int:
    """The epochs asked for, or more where the rows are so few that these are hardly any steps."""
    if not epochs:
        return 0
    per_epoch = math.ceil(num_rows / batch_size)
    return max(epochs, min(math.ceil(min_steps / per_epoch), FEW_EPOCHS))


class Loop:
    """Trains a contender; only the steps themselves are on its clock.

    Args:
        contender: method and head.
        rows: encoded, with their targets.
        training: rates, epochs, batches, warmup, dropout; the seed decides the rows' order.
        variant: for ablations: AdamW for all, or no warm start.

    Attributes:
        step: steps done.
        seconds: of the steps and the warm start so far; the processor's where one thread works.
        training: as given.
        warm_s: of the warm start.
        rows_seen: by the steps.
    """

    def __init__(
        self,
        contender: Contender,
        rows: Sequence[EncodedExample],
        objective: Objective,
        training: TrainingConfig,
        device: torch.device,
        *,
        variant: Variant = DEFAULT,
    ) -> None:
        self._variant = variant
        self._contender = contender
        self._rows = rows
        self._objective = objective
        self.training = training
        self._device = device
        self.step, self.rows_seen, self.seconds, self.warm_s = 0, 0, 0.0, 0.0
        self._per_epoch = math.ceil(len(rows) / training.batch_size)
        self.num_steps = self._per_epoch * (training.epochs or 0)

    def warm_start(self) -> None:
        """Fit the head on the frozen features."""
        began = self._now()
        if self._variant.has_warm_start:
            self._contender.warm_start(self._rows, self._objective)
        self.warm_s = self.seconds = self._now() - began

    def run(self, points: int) -> Iterator[int]:
        """Train; yields where a point of the learning curve is due, the last step among them."""
        adam = self._stepper()
        warmup = int(self.training.warmup_ratio * self.num_steps)
        schedule = get_linear_schedule_with_warmup(adam, warmup, self.num_steps)
        self._contender.set_training(True)
        while self.step < self.num_steps:
            began = self._now()
            self._step(adam)
            schedule.step()
            self.seconds += self._now() - began
            if self._is_due(points):
                self._contender.set_training(False)
                yield self.step
                self._contender.set_training(True)
        self._contender.set_training(False)

    def _stepper(self) -> torch.optim.AdamW:
        """AdamW for every method but SK-Tuning, which comes with steps of its own."""
        contender = self._contender
        is_free = contender.is_free and self._variant.has_muon
        return stepper(contender.own, contender.head, self.training, is_free=is_free)

    def _step(self, adam: torch.optim.AdamW) -> None:
        batch = self.batch(self.step)
        logits = self._contender.logits([e.row for e in batch], self._dropout())
        targets = self._objective.join([e.target for e in batch])
        loss = self._objective.loss(logits.float(), targets) + self._contender.penalty()
        loss.backward()  # type: ignore[no-untyped-call]
        trained = [*self._contender.own, *self._contender.head]
        nn.utils.clip_grad_norm_(trained, self.training.max_grad_norm)
        adam.step()
        adam.zero_grad()
        self.step += 1
        self.rows_seen += len(batch)

    def batch(self, step: int) -> list[EncodedExample]:
        """The rows of a step: a permutation an epoch, the same for every method."""
        epoch, at = divmod(step, self._per_epoch)
        generator = torch.Generator().manual_seed(self.training.seed * 1000 + epoch)
        order = torch.randperm(len(self._rows), generator=generator).tolist()
        size = self.training.batch_size
        return [self._rows[i] for i in order[at * size : (at + 1) * size]]

    def _dropout(self) -> Tensor:
        """One mask a step over the parts of what the head reads, the same for every method."""
        seed = self.training.seed * 1_000_003 + self.step
        generator = torch.Generator().manual_seed(seed)
        rate = self.training.head_dropout
        kept = torch.rand(self._contender.head[0].shape[-1], generator=generator) >= rate
        return (kept / (1 - rate)).to(self._device)

    def _is_due(self, points: int) -> bool:
        planned = min(points, self.num_steps)
        return self.step * planned // self.num_steps > (self.step - 1) * planned // self.num_steps

    def _now(self) -> float:
        if self._device.type == "cuda":
            torch.cuda.synchronize()
        # of one thread the processor's time says the same, whatever else runs on the machine
        is_alone = self._device.type == "cpu" and torch.get_num_threads() == 1
        return time.process_time() if is_alone else time.perf_counter()
