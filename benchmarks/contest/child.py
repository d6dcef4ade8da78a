"""One run in a process of its own, so that its memory is its own: ``python -m contest.child``."""

import json
import sys
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save
from tasks import METRICS
from transformers.utils import logging as transformers_logging

from contest import machine, memory, product
from contest.bases import source_of
from contest.bodies import SemanticBody
from contest.choices import spec_of
from contest.contender import Contender
from contest.judge import Judge
from contest.loop import Loop, plan_epochs
from contest.methods import build
from contest.run import Outcome, Point, Run
from contest.stage import Stage
from contest.subject import read_subject
from contest.variants import VARIANTS, Variant
from sktuning.base import FrozenBase
from sktuning.classify import Classifier
from sktuning.config import TrainingConfig
from sktuning.data import Dataset
from sktuning.loading import find_source
from sktuning.metrics import MAIN_METRIC
from sktuning.training.objective import Objective
from sktuning.training.trainer import make_config


def perform(run: Run, data: Path, device: str = "auto") -> Outcome:
    """Train and judge."""
    dataset = read_subject(data, run)
    source = source_of(run.base)
    base = FrozenBase.load(source, device=device, dtype=run.dtype)
    variant = VARIANTS[run.variant]
    spec = spec_of(run, _training(run, len(dataset.train)))
    classifier = Classifier(base)
    config = make_config(classifier, dataset, spec)
    torch.manual_seed(run.seed)
    stage = Stage(classifier, config, find_source(source).location)
    return _Performance(run, dataset, stage, spec.training, variant).outcome()


def _training(run: Run, num_rows: int) -> TrainingConfig:
    """The product's own settings but for rate, epochs and seed."""
    size = TrainingConfig().batch_size
    epochs = plan_epochs(run.epochs, run.min_steps, num_rows, size)
    return TrainingConfig(
        epochs=epochs or None,
        learning_rate=run.learning_rate or None,
        seed=run.seed,
    )


def _contender(run: Run, stage: Stage, variant: Variant) -> Contender:
    if variant.head is None:
        return build(run.method, stage)
    return variant.head(SemanticBody(stage), stage)


class _Performance:
    def __init__(
        self,
        run: Run,
        dataset: Dataset,
        stage: Stage,
        training: TrainingConfig,
        variant: Variant,
    ) -> None:
        self._run, self._dataset, self._stage = run, dataset, stage
        self._max_length = min(training.max_length, stage.base.max_length)
        self._objective = Objective(stage.config, dataset.train)
        rows = self._objective.encode(dataset.train, stage.classifier.encoder, self._max_length)
        self._held_out = self._judge(dataset.held_out)
        self._contender = _contender(run, stage, variant)
        self._loop = Loop(
            self._contender, rows, self._objective, training, stage.device, variant=variant
        )

    def outcome(self) -> Outcome:
        """Train, then judge by the test rows."""
        memory.forget_peak()
        curve = self._train()
        peak = memory.peak_bytes(self._stage.device)
        test = self._judge(self._dataset.test)
        return Outcome(
            run=self._run,
            metric=test.metric,
            score=test.score(self._contender, self._held_out),
            curve=tuple(curve),
            peak_bytes=peak,
            held_out_rows=len(self._held_out.rows),
            test_rows=len(test.rows),
            machine=machine.of(self._stage.device),
            **self._effort(),
        )

    def _train(self) -> list[Point]:
        loop = self._loop
        self._contender.set_training(False)
        loop.warm_start()
        curve = [self._point()]
        curve.extend(self._point() for _ in loop.run(self._run.points))
        return curve

    def _point(self) -> Point:
        # after the time, which the judging must not be in
        step, seconds = self._loop.step, self._loop.seconds
        return Point(step, round(seconds, 3), self._held_out.score(self._contender, self._held_out))

    def _effort(self) -> dict[str, Any]:
        loop, contender = self._loop, self._contender
        served = {n: t.detach().cpu().contiguous() for n, t in contender.served().items()}
        return {
            "seconds": round(loop.seconds - loop.warm_s, 3),
            "warm_s": round(loop.warm_s, 3),
            "steps": loop.step,
            "rows_seen": loop.rows_seen,
            "train_rows": len(self._dataset.train),
            "trainable": sum(p.numel() for p in [*contender.own, *contender.head]),
            "artifact_bytes": len(save(served)),
            "virtual_tokens": self._stage.config.num_virtual_tokens,
        }

    def _judge(self, examples: Any) -> Judge:
        config = self._stage.config
        return Judge.of(
            config,
            self._stage.classifier.encoder,
            examples,
            self._objective.scale,
            METRICS.get(self._run.dataset, MAIN_METRIC[config.task]),
            self._max_length,
        )


def main(arguments: list[str]) -> int:
    """``RUN-AS-JSON DATA DEVICE FILE``: perform the run and write its outcome."""
    settings, data, device, file = arguments
    transformers_logging.set_verbosity_error()
    run = Run(**json.loads(settings))
    outcome = (product.perform if run.as_product else perform)(run, Path(data), device)
    Path(file).write_text(outcome.to_json())
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
