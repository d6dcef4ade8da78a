"""A run as the product trains: as long as it gets better, with the best evaluation's state kept."""

from pathlib import Path

from tasks import METRICS

from contest import machine, memory
from contest.bases import source_of
from contest.choices import spec_of
from contest.run import Outcome, Point, Run
from contest.subject import read_subject
from contest.variants import VARIANTS
from sktuning import served
from sktuning.base import FrozenBase
from sktuning.classify import Classifier
from sktuning.config import TrainingConfig
from sktuning.evaluate import MAIN_METRIC, evaluate
from sktuning.training.fit import fit


def perform(run: Run, data: Path, device: str = "auto") -> Outcome:
    """Train with nothing given but the rate, the seed and what the variant changes.

    Raises:
        ValueError: the variant changes what the product has no setting for.
    """
    if not VARIANTS[run.variant].is_setting:
        raise ValueError(f"the product has no setting for: {run.variant}")
    dataset = read_subject(data, run)
    spec = spec_of(run, TrainingConfig(learning_rate=run.learning_rate or None, seed=run.seed))
    base = FrozenBase.load(source_of(run.base), device=device, dtype=run.dtype)
    memory.forget_peak()
    trained = fit(base, dataset, spec)
    peak = memory.peak_bytes(base.device)
    adapter = trained.adapter.to(base.device, base.dtype)
    metric = METRICS.get(run.dataset, MAIN_METRIC[adapter.config.task])
    test = evaluate(Classifier(base), adapter, dataset.test, max_length=spec.training.max_length)
    seconds = round(trained.seconds, 3)
    return Outcome(
        run=run,
        metric=metric,
        score=float(test[metric]),
        curve=(Point(trained.kept_step, seconds, float(trained.metrics[metric])),),
        seconds=seconds,
        warm_s=0.0,  # it is among the seconds
        steps=trained.num_steps,
        rows_seen=trained.num_steps * trained.training.batch_size,
        train_rows=trained.num_train,
        held_out_rows=trained.num_held_out,
        test_rows=int(test["num_rows"]),
        trainable=trained.num_trainable,
        artifact_bytes=len(served.tensor_bytes(served.served_tensors(trained.adapter))),
        peak_bytes=peak,
        virtual_tokens=adapter.config.num_virtual_tokens,
        machine=machine.of(base.device),
    )
