"""SetFit on one set of rows, with its own defaults; for a Python that it is installed for.

Reads a JSON object from standard input: ``base`` (a sentence-transformers folder), ``labels``,
``texts`` and ``targets`` to learn from, ``test`` texts, ``seed`` and ``sampling``. Writes one to
the file that it is given: ``answers``, ``seconds``, ``steps`` and ``versions``. Knows nothing of
this project, so that it runs beside other versions of what both need.
"""

import json
import sys
import tempfile
import time
from importlib.metadata import version
from pathlib import Path
from typing import Any

import torch
from datasets import Dataset
from setfit import SetFitModel, Trainer, TrainingArguments

PACKAGES = ("setfit", "sentence-transformers", "transformers", "torch", "scikit-learn")


def perform(task: dict[str, Any], scratch: str) -> dict[str, Any]:
    """Train and answer."""
    labels = task["labels"]
    model = SetFitModel.from_pretrained(
        task["base"], labels=labels, device="cpu", local_files_only=True
    )
    began = time.process_time()
    rows = {"text": task["texts"], "label": [labels.index(name) for name in task["targets"]]}
    arguments = TrainingArguments(
        output_dir=scratch,
        sampling_strategy=task["sampling"],
        seed=task["seed"],
        # of no effect on what is learned
        report_to="none",
        save_strategy="no",
        show_progress_bar=False,
    )
    trainer = Trainer(model=model, args=arguments, train_dataset=Dataset.from_dict(rows))
    trainer.train()
    seconds = time.process_time() - began
    answers = model.predict(task["test"], use_labels=True, show_progress_bar=False)
    return {
        "answers": [str(answer) for answer in answers],
        "seconds": round(seconds, 3),
        "steps": int(trainer.st_trainer.state.global_step),
        "versions": {name: version(name) for name in PACKAGES},
    }


def main(arguments: list[str]) -> int:
    """Perform what standard input asks for, on one thread."""
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as scratch:
        found = perform(json.load(sys.stdin), scratch)
    Path(arguments[0]).write_text(json.dumps(found))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
