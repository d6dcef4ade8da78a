"""Contenders of the method benchmark on tiny bases, with rows of every task."""

from dataclasses import dataclass
from pathlib import Path

import bases
import torch
from contest.contender import Contender
from contest.loop import Loop
from contest.methods import adapter_method, build
from contest.rates import ENTRANTS
from contest.stage import Stage
from workbench import Case, make_rows

from sktuning.base import FrozenBase
from sktuning.classify import Classifier
from sktuning.config import AdapterSpec, Task, TrainingConfig
from sktuning.data import Dataset
from sktuning.training.objective import EncodedExample, Objective
from sktuning.training.trainer import make_config

PROMPT = "classify the text"
TASKS = (
    Case(Task.SINGLE_LABEL),
    Case(Task.REGRESSION, is_pair=True),
    Case(Task.TOKENS),
)
_LABELS = {
    Task.SINGLE_LABEL: ("bad", "good", "neither"),
    Task.REGRESSION: (),
    Task.TOKENS: ("B-mood", "O"),
}


@dataclass(frozen=True, slots=True, eq=False)
class Staged:
    """A contender that has not been trained, and rows for it."""

    stage: Stage
    dataset: Dataset
    contender: Contender
    examples: list[EncodedExample]
    objective: Objective

    def loop(self, method: str, *, epochs: int = 1) -> Loop:
        """Small batches: two steps an epoch."""
        rate = ENTRANTS[method].customary or 1e-2
        training = TrainingConfig(epochs=epochs, batch_size=3, learning_rate=rate)
        rows, device = self.examples, torch.device("cpu")
        return Loop(self.contender, rows, self.objective, training, device)


def staged(method: str, case: Case, *, base: FrozenBase | None = None, folder: Path) -> Staged:
    """A contender on a base of its own.

    Args:
        folder: the model folder of the tiny BERT, for the method that reads it itself.
    """
    classifier = Classifier(base or bases.tiny_bert_base())
    rows = tuple(make_rows(case))
    dataset = Dataset(case.task, _LABELS[case.task], rows, rows)
    spec = AdapterSpec(method=adapter_method(method), prompt_text=PROMPT)
    stage = Stage(classifier, make_config(classifier, dataset, spec), str(folder))
    objective = Objective(stage.config, rows)
    examples = objective.encode(rows, classifier.encoder, 64)
    torch.manual_seed(0)
    return Staged(stage, dataset, build(method, stage), examples, objective)
