"""The methods that learn from few rows; each makes answers to the test rows of what it is given."""

import json
import os
import subprocess
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from contest import machine
from contest.bases import source_of
from contest.children import RunFailed
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from few.run import Outcome, Run
from few.subject import Subject, read_subject
from sktuning import baselines
from sktuning.base import FrozenBase
from sktuning.classify import Classifier
from sktuning.config import AdapterSpec, TrainingConfig
from sktuning.data import Dataset
from sktuning.loading import find_source
from sktuning.prediction import predict
from sktuning.training.fit import fit
from sktuning.training.trainer import make_config

SK_PREFIX, LOGISTIC, SETFIT = "sk-prefix", "logistic", "setfit"
SETFIT_UNDERSAMPLED = "setfit-undersampling"
TITLES = {
    SK_PREFIX: "SK-prefix",
    LOGISTIC: "logistic head, frozen base",
    SETFIT: "SetFit",
    SETFIT_UNDERSAMPLED: "SetFit, undersampling",
}
_CHILD = Path(__file__).with_name("setfit_child.py")
_SAMPLING = {SETFIT: "oversampling", SETFIT_UNDERSAMPLED: "undersampling"}


@dataclass(frozen=True, slots=True)
class _Answers:
    labels: Sequence[str]
    seconds: float
    steps: int
    machine: dict[str, Any]


@dataclass(frozen=True, slots=True)
class Performer:
    """Performs runs, one after another, on one thread.

    Attributes:
        data: folder of the datasets' folders.
        setfit: the Python that SetFit is installed for; None: there is none.
    """

    data: Path
    setfit: str | None = None

    def __call__(self, run: Run) -> Outcome:
        """Perform a run.

        Raises:
            RunFailed: the child process did.
        """
        torch.set_num_threads(1)
        subject = read_subject(self.data, run)
        found = self._method(run)(subject, run)
        wanted = [str(example.target) for example in subject.test]
        right = [a == b for a, b in zip(found.labels, wanted, strict=True)]
        return Outcome(
            run=run,
            score=sum(right) / len(right),
            seconds=round(found.seconds, 3),
            steps=found.steps,
            train_rows=len(subject.train),
            test_rows=len(right),
            machine={**machine.describe("cpu", 1), **found.machine},
        )

    def _method(self, run: Run) -> Callable[[Subject, Run], _Answers]:
        if run.method == SK_PREFIX:
            return _sk_prefix
        return _logistic if run.method == LOGISTIC else self._setfit

    def _setfit(self, subject: Subject, run: Run) -> _Answers:
        if self.setfit is None:
            raise RunFailed("--setfit names no Python that has SetFit")
        task = {
            "base": find_source(source_of(run.base)).location,
            "labels": subject.labels,
            "texts": [example.input.text for example in subject.train],
            "targets": [example.target for example in subject.train],
            "test": [example.input.text for example in subject.test],
            "seed": run.seed,
            "sampling": _SAMPLING[run.method],
        }
        found = _ask_child(self.setfit, task)
        return _Answers(found["answers"], found["seconds"], found["steps"], found["versions"])


def _sk_prefix(subject: Subject, run: Run) -> _Answers:
    """Nothing is chosen: the rows are all there is, and a part of them judges, as by default."""
    base = FrozenBase.load(source_of(run.base), device="cpu")
    began = time.process_time()
    rows = [(example.input, example.target) for example in subject.train]
    dataset = Dataset.of(rows, seed=run.seed)
    trained = fit(base, dataset, AdapterSpec(training=TrainingConfig(seed=run.seed)))
    seconds = time.process_time() - began
    answers = predict(Classifier(base), trained.adapter, [e.input for e in subject.test])
    return _Answers([answer["label"] for answer in answers], seconds, trained.num_steps, {})


def _logistic(subject: Subject, run: Run) -> _Answers:
    """scikit-learn's defaults on standardised means of the frozen base's states."""
    classifier = Classifier(FrozenBase.load(source_of(run.base), device="cpu"))
    began = time.process_time()
    rows = [(example.input, example.target) for example in subject.train]
    config = make_config(classifier, Dataset.of(rows), AdapterSpec())
    states, learned = baselines.features(classifier, config, subject.train)
    model = make_pipeline(StandardScaler(), LogisticRegression(max_iter=1000))
    model.fit(np.stack(states), [str(example.target) for example in learned])
    seconds = time.process_time() - began
    tested, kept = baselines.features(classifier, config, subject.test)
    if len(kept) < len(subject.test):
        raise RunFailed("a test row cannot be read")
    return _Answers([str(name) for name in model.predict(np.stack(tested))], seconds, 0, {})


def _ask_child(python: str, task: dict[str, Any]) -> dict[str, Any]:
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "found.json"
        done = subprocess.run(
            [python, str(_CHILD), str(file)],
            input=json.dumps(task),
            env={**os.environ, "OMP_NUM_THREADS": "1", "HF_HUB_OFFLINE": "1"},
            capture_output=True,
            text=True,
            check=False,
        )
        if done.returncode:
            raise RunFailed("\n".join(done.stderr.strip().splitlines()[-3:]))
        found: dict[str, Any] = json.loads(file.read_text())
        return found
