"""A whole training in one call."""

from collections.abc import Callable

from sktuning.base import FrozenBase
from sktuning.config import AdapterSpec
from sktuning.data import Dataset
from sktuning.training.progress import Progress, TrainedAdapter
from sktuning.training.trainer import Trainer


def fit(
    base: FrozenBase,
    dataset: Dataset,
    spec: AdapterSpec | None = None,
    *,
    on_progress: Callable[[Progress], None] | None = None,
) -> TrainedAdapter:
    """Train an adapter to the end; `Trainer` is for checkpoints and for stopping early.

    Args:
        base: the frozen base; it is not changed.
        dataset: rows to learn from and rows to judge by.
        spec: what is chosen about the adapter; None: the defaults, which suit most data.
        on_progress: called after every step and every evaluation.

    Raises:
        ConfigError: a choice that cannot work on this base.
        DataError: a row that cannot be read, or a target that is not among the labels.
    """
    trainer = Trainer(base, dataset, spec or AdapterSpec())
    for progress in trainer.run():
        if on_progress is not None:
            on_progress(progress)
    return trainer.finish()
