"""The training loop: straight, resumable, and observed from outside through what it yields."""

import hashlib
import math
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from functools import cached_property
from pathlib import Path
from typing import Any, TypeAlias

import torch
from torch import Tensor

from sktuning import evaluate, golden, wording
from sktuning.adapter import Adapter
from sktuning.base import FrozenBase
from sktuning.classify import Classifier
from sktuning.config import AdapterConfig, AdapterSpec, Pooling, Transform
from sktuning.data import Dataset
from sktuning.errors import TrainingCancelled
from sktuning.methods import default_learning_rate, default_offset, default_start
from sktuning.precision import choose_precision
from sktuning.training.checkpoint import Position, load_checkpoint, save_checkpoint
from sktuning.training.imbalance import class_weights, count_labels, main_metric
from sktuning.training.objective import EncodedExample, Objective
from sktuning.training.optimiser import Optimiser
from sktuning.training.processes import Processes
from sktuning.training.progress import Progress, TrainedAdapter
from sktuning.training.prototypes import prototypes_of
from sktuning.training.trainable import Trainable
from sktuning.training.warmstart import fit_head

WARM_START_ROWS, WARM_START_ROWS_A_LABEL = 4000, 120
FEATURE_ROWS = 64  # a forward
CHECKPOINT_FORMAT = 5  # raised when tensors or position are others: older ones start again
_Scored: TypeAlias = tuple[Adapter, dict[str, Any]]  # calibrated, and its metrics
CAUSAL_PAIR_TEMPLATE = "{text}\n{text_pair}"


class Trainer:
    """Trains one adapter on one dataset.

    In several processes (`accelerate launch`) each makes one and iterates `run`; they share the
    rows of every step, and the result is that of one process.

    Args:
        base: the frozen base; it is not changed.
        dataset: rows to learn from and rows to judge by.
        spec: what the user chose.
        checkpoint_dir: where to keep a checkpoint; one that is there is resumed.
        should_stop: asked before every step; True ends the training after a checkpoint.

    Attributes:
        resumed_from: the step of the checkpoint that was found, or None.
    """

    def __init__(
        self,
        base: FrozenBase,
        dataset: Dataset,
        spec: AdapterSpec,
        *,
        checkpoint_dir: Path | None = None,
        should_stop: Callable[[], bool] = lambda: False,
    ) -> None:
        num_rows, num_labels = len(dataset.train), len(dataset.labels)
        self._has_prototypes = (
            spec.transform is not Transform.FROZEN  # nothing moves towards them
            and spec.training.plan_prototypes(dataset.task, num_rows, num_labels)
        )
        self._num_epochs = spec.training.plan_epochs(
            num_rows, num_labels, prototypes=self._has_prototypes
        )
        precision = choose_precision(spec.training.mixed_precision, base.device, base.hidden_size)
        self._patience = spec.training.plan_patience(len(dataset.held_out))
        self._training = replace(
            spec.training,
            epochs=self._num_epochs,
            patience=self._patience,
            prototypes=self._has_prototypes,
            mixed_precision=precision,
            learning_rate=spec.training.learning_rate
            or default_learning_rate(spec.method, spec.transform),
        )
        self._served = Classifier(base)
        # a frozen base can be converted once; what is trained stays in float32 beside it
        fast = base.converted(torch.bfloat16) if precision == "bf16" else base
        self._classifier = self._served if fast is base else Classifier(fast)
        self._dataset = dataset
        self._config = make_config(self._classifier, dataset, spec)
        self._checkpoint_dir = checkpoint_dir
        self._should_stop = should_stop
        self._processes = Processes(base.device, is_fp16=precision == "fp16")
        self._weights = class_weights(dataset, spec.training.class_weight)
        self._metric = main_metric(dataset)
        self._objective = Objective(self._config, dataset.train, self._weights)
        max_length = min(spec.training.max_length, base.max_length)
        self._rows = self._objective.encode(dataset.train, self._classifier.encoder, max_length)
        self._max_length = max_length
        semantics = self._classifier.semantics.get(self._config.prompt_text)
        self._model = Trainable(
            self._classifier, semantics, self._config, has_prototypes=self._has_prototypes
        )
        accelerator = self._processes.accelerator
        self._optimiser = Optimiser(self._model, self._training, self._num_steps, accelerator)
        self._kept: dict[str, Tensor] = {}
        self._latest: _Scored | None = None  # of the main process, which evaluates
        self._kept_scored: _Scored | None = None  # by the served base; None after a resumption
        self._clock = self._counted = self._last_save = time.monotonic()
        self._first_step = 0
        self._position = Position(fingerprint=_fingerprint(self._config, spec, dataset))
        self.resumed_from = self._resume()

    @property
    def is_main(self) -> bool:
        """Whether this process saves what came out; others of the same training need not."""
        return self._processes.is_main

    @property
    def num_processes(self) -> int:
        """How many share this training."""
        return self._processes.count

    @property
    def config(self) -> AdapterConfig:
        """The new adapter's configuration."""
        return self._config

    def run(self) -> Iterator[Progress]:
        """Train; yields once a step at most.

        Raises:
            TrainingCancelled: `should_stop` said so; a checkpoint was written first.
        """
        if self._position.step == 0:
            self._stop_if_asked()
            yield self._progress("warm-start")
            began = time.monotonic()
            self._fit_head()
            self._position.seconds += time.monotonic() - began
        self._clock = self._counted = self._last_save = time.monotonic()
        self._first_step = self._position.step
        if self._position.step == 0 and self._chooses:
            yield self._evaluate()  # the fitted head alone may be the best there is
        while self._position.step < self._num_steps and not self._is_stale:
            self._stop_if_asked()
            loss = self._step()
            yield self._progress("training", loss=loss)
            if self._evaluation_is_due:
                yield self._evaluate()
            self._save_if_due()

    def finish(self) -> TrainedAdapter:
        """The adapter that was kept, materialised; its metrics are of the served path."""
        if self._kept:
            self._model.load_state_dict(self._kept)
        scored = self._kept_scored or self._score(self._materialise(), self._served)
        adapter, metrics = scored
        served = adapter.to(self._served.base.device, self._served.base.dtype)
        examples = self._dataset.held_out or self._dataset.train
        self._add_time()
        return TrainedAdapter(
            adapter=adapter,
            metrics=metrics,
            main_metric=self._metric,
            main_score=float(metrics[self._metric]),
            golden=golden.record(self._served, served, examples),
            trainable={n: p.detach().cpu() for n, p in self._model.named_parameters()},
            training=self._training,
            label_counts=count_labels(self._dataset.train),
            num_train=len(self._rows),
            num_held_out=len(self._dataset.held_out),
            num_truncated=sum(1 for example in self._rows if example.row.num_dropped),
            num_steps=self._position.step,
            kept_step=self._position.kept_step,
            seconds=self._position.seconds,
            history=tuple(self._position.history),
            class_weights=self._weights,
        )

    # the plan

    @property
    def _steps_per_epoch(self) -> int:
        return math.ceil(len(self._rows) / self._training.batch_size)

    @property
    def _num_steps(self) -> int:
        return self._steps_per_epoch * self._num_epochs

    @property
    def _evaluation_is_due(self) -> bool:
        """Evenly spread over the steps, the last one after the last step."""
        planned = min(self._training.evaluations, self._num_steps)
        step = self._position.step
        return step * planned // self._num_steps > (step - 1) * planned // self._num_steps

    @property
    def _chooses(self) -> bool:
        return self._training.chooses_by(len(self._dataset.held_out))

    @property
    def _is_stale(self) -> bool:
        return 0 < self._patience <= self._position.stale

    def _batch(self, step: int) -> list[EncodedExample]:
        """The rows of a step: a permutation an epoch, the same on every run of the same seed."""
        epoch, at = divmod(step, self._steps_per_epoch)
        size = self._training.batch_size
        return self._order(epoch)[at * size : (at + 1) * size]

    def _order(self, epoch: int) -> list[EncodedExample]:
        generator = torch.Generator().manual_seed(self._training.seed * 1000 + epoch)
        order = torch.randperm(len(self._rows), generator=generator).tolist()
        return [self._rows[i] for i in order]

    # the work

    def _fit_head(self) -> None:
        """Fit the head on what the base says with the prompt in front as it is now."""
        rows = self._order(0)[: warm_start_rows(len(self._config.labels))]
        rows.sort(key=lambda example: len(example.row))
        targets = self._objective.join([e.target for e in rows])
        loss, num_outputs = self._objective.loss, self._config.num_outputs
        self._model.set_head(fit_head(self._features(rows).cpu(), targets, loss, num_outputs))
        self._processes.align(self._model.state_dict().values())

    def _place_prototypes(self) -> None:
        """Where the labels' texts are now; all rows, since they are few."""
        targets = self._objective.join([e.target for e in self._rows])
        found = prototypes_of(self._features(self._rows), targets, self._config.num_outputs)
        self._model.prototypes.copy_(found)
        self._processes.align([self._model.prototypes])

    @torch.no_grad()
    def _features(self, rows: Sequence[EncodedExample]) -> Tensor:
        """What the head reads of the rows: (R, H), or (known words, H)."""
        size = FEATURE_ROWS
        parts = (rows[i : i + size] for i in range(0, len(rows), size))
        return torch.cat([self._model.pooled([e.row for e in part]) for part in parts])

    def _step(self) -> float:
        """One optimiser step; the same whatever parts and processes its rows are shared among."""
        if self._has_prototypes and self._position.step % self._steps_per_epoch == 0:
            self._place_prototypes()
        batch = self._batch(self._position.step)
        count = len(self._objective.join([e.target for e in batch]))
        generator = torch.Generator().manual_seed(
            self._training.seed * 1_000_003 + self._position.step
        )
        keep = self._dropout(generator)
        share = self._processes.share(batch)
        weight = float(self._processes.count)
        if not share:  # nothing is left, but the others wait for a gradient
            share, weight = batch[:1], 0.0
        size = math.ceil(len(share) / self._training.gradient_accumulation_steps)
        total = torch.zeros((), device=self._classifier.base.device)
        for at in range(0, len(share), size):
            part, is_last = share[at : at + size], at + size >= len(share)

            def loss(part: Sequence[EncodedExample] = part) -> Tensor:
                return weight * self._loss(part, keep, count)

            total += self._optimiser.add(loss, self._model.penalty if is_last else None)
        self._optimiser.step()
        self._position.step += 1
        return self._processes.mean(total)

    def _loss(self, rows: Sequence[EncodedExample], keep: Tensor | None, count: int) -> Tensor:
        with self._processes.accelerator.autocast():
            logits = self._optimiser.model([e.row for e in rows], keep)
        targets = self._objective.join([e.target for e in rows])
        return self._objective.loss(logits.float(), targets, count)

    def _dropout(self, generator: torch.Generator) -> Tensor | None:
        """One mask a step over the pooled vector's parts, scaled so that its mean is one."""
        rate = self._training.head_dropout
        if not rate:
            return None
        kept = torch.rand(self._model.head.in_features, generator=generator) >= rate
        return (kept / (1 - rate)).to(self._classifier.base.device)

    def _evaluate(self) -> Progress:
        if self._has_prototypes and self._position.step:
            self._fit_head()
        metrics = self._processes.from_main(self._judge)
        position = self._position
        is_best = position.take(metrics[self._metric])
        if is_best or not self._chooses:
            position.kept_step = position.step
            self._kept = {n: v.detach().clone() for n, v in self._model.state_dict().items()}
            self._kept_scored = self._latest if self._classifier is self._served else None
        position.history.append({"step": float(position.step), **metrics})
        return self._progress("evaluating", metrics=metrics, is_best=is_best)

    def _judge(self) -> dict[str, float]:
        self._latest = self._score(self._materialise(), self._classifier)
        return evaluate.scalars(self._latest[1])

    def _score(self, adapter: Adapter, classifier: Classifier) -> _Scored:
        """The adapter calibrated on the held-out rows, and its metrics there."""
        base = classifier.base
        served, metrics = evaluate.calibrate(
            classifier, adapter.to(base.device, base.dtype), self._held_out
        )
        return replace(adapter, config=served.config), metrics

    @cached_property
    def _held_out(self) -> evaluate.Questions:
        return evaluate.read(
            self._served.encoder,
            self._config,
            self._dataset.held_out,
            max_length=self._max_length,
        )

    @torch.no_grad()
    def _materialise(self) -> Adapter:
        """The current parameters as constants, in float32 on the processor."""
        state = self._model.encoder().to("cpu", torch.float32)
        head = self._objective.scale.unscale(self._model.served_head())
        return Adapter(self._config, state, head)

    # being watched and interrupted

    def _progress(self, phase: Any, **values: Any) -> Progress:
        step = self._position.step
        rate = eta = None
        if phase != "warm-start" and step > self._first_step:
            per_step = (time.monotonic() - self._clock) / (step - self._first_step)
            rate = self._training.batch_size / per_step
            eta = per_step * (self._num_steps - step)
        return Progress(
            phase,
            step,
            self._num_steps,
            epoch=step / self._steps_per_epoch,
            learning_rate=self._optimiser.learning_rate,
            rows_per_s=rate,
            eta_s=eta,
            **values,
        )

    def _stop_if_asked(self) -> None:
        if self._processes.any(self._should_stop()):
            if self._position.step:
                self._save()
            raise TrainingCancelled(f"stopped at step {self._position.step} of {self._num_steps}")

    def _save_if_due(self) -> None:
        if time.monotonic() - self._last_save >= self._training.checkpoint_every_s:
            self._save()

    def _add_time(self) -> None:
        now = time.monotonic()
        self._position.seconds += now - self._counted
        self._counted = now

    def _save(self) -> None:
        self._last_save = time.monotonic()
        self._add_time()
        if self._checkpoint_dir is None or not self._processes.is_main:
            return
        tensors = {f"model.{n}": t for n, t in self._model.state_dict().items()}
        tensors |= {f"best.{n}": t for n, t in self._kept.items()}
        tensors |= {f"optimiser.{n}": t for n, t in self._optimiser.tensors().items()}
        save_checkpoint(self._checkpoint_dir, self._position, tensors)

    def _resume(self) -> int | None:
        directory = self._checkpoint_dir
        if directory is None:
            return None
        found = self._processes.from_main(lambda: load_checkpoint(directory))
        if found is None or found[0].fingerprint != self._position.fingerprint:
            return None
        self._position, tensors = found
        self._model.load_state_dict(_under(tensors, "model."))
        self._kept = _under(tensors, "best.")
        self._optimiser.restore(_under(tensors, "optimiser."), self._position.step)
        return self._position.step


def make_config(classifier: Classifier, dataset: Dataset, spec: AdapterSpec) -> AdapterConfig:
    """The configuration of a new adapter: what the user chose, and sense for the rest.

    Raises:
        ConfigError: the prompt text cannot be a prompt.
    """
    base = classifier.base
    text = spec.prompt_text or wording.default_prompt(
        dataset.task, dataset.labels, is_pair=dataset.is_pair, fits=classifier.semantics.fits
    )
    return AdapterConfig(
        task=dataset.task,
        labels=dataset.labels,
        base=base.identity,
        method=spec.method,
        transform=spec.transform,
        start=spec.start or default_start(base, spec.transform),
        rank=spec.rank,
        prompt_text=text,
        num_virtual_tokens=classifier.semantics.get(text).length,
        text_offset=default_offset(base),
        pooling=spec.pooling or Pooling.MEAN,
        is_pair=dataset.is_pair,
        pair_template=CAUSAL_PAIR_TEMPLATE if dataset.is_pair and base.is_causal else "",
        seed=spec.training.seed,
    )


def warm_start_rows(num_labels: int) -> int:
    """How many rows the head is fitted to at most before training."""
    return max(WARM_START_ROWS, WARM_START_ROWS_A_LABEL * num_labels)


def _under(tensors: dict[str, Tensor], prefix: str) -> dict[str, Tensor]:
    return {n.removeprefix(prefix): t for n, t in tensors.items() if n.startswith(prefix)}


def _fingerprint(config: AdapterConfig, spec: AdapterSpec, dataset: Dataset) -> str:
    """Tells one training from another, so that a stale checkpoint is never continued."""
    settings = (CHECKPOINT_FORMAT, config.to_dict(), spec.training.to_dict())
    digest = hashlib.sha256(repr(settings).encode())
    for example in dataset.train:
        digest.update(repr((example.input, example.target)).encode())
    return digest.hexdigest()
