"""A script for `accelerate launch`: trains on a tiny base in all its processes, into a folder."""

import gc
import sys
from dataclasses import replace
from pathlib import Path

import torch
from accelerate import PartialState
from bases import tiny_bert_base
from safetensors.torch import save_file
from tiny_datasets import by_task
from torch import Tensor
from torch.nn.parallel import DistributedDataParallel

from sktuning.base import FrozenBase
from sktuning.config import AdapterSpec, Task, TrainingConfig
from sktuning.data import Dataset, Example, TextInput
from sktuning.errors import TrainingCancelled
from sktuning.training.processes import leave
from sktuning.training.trainer import Trainer

STOP_AT = 3  # steps after which the last process, and it only, wants to stop
SPEC = AdapterSpec(
    rank=2, training=TrainingConfig(epochs=2, batch_size=6, gradient_accumulation_steps=2)
)


def uneven(task: Task) -> Dataset:
    """13 rows of uneven length: the last batch is a single row, of which one process gets none."""
    found = by_task(task)
    rows = tuple(_longer(e) if i in (0, 1, 4, 12) else e for i, e in enumerate(found.train[:13]))
    return replace(found, train=rows)


def _longer(example: Example) -> Example:
    words = example.input.tokens
    if words is None:
        return replace(example, input=TextInput(example.input.text + " and very very good"))
    assert isinstance(example.target, tuple)
    return Example(TextInput(tokens=words * 3), example.target * 3)


def trained(base: FrozenBase, task: Task) -> dict[str, Tensor]:
    """The parameters after the last step, and the loss of each step."""
    trainer = Trainer(base, uneven(task), SPEC)
    losses = [progress.loss for progress in trainer.run() if progress.phase == "training"]
    return {**trainer._model.state_dict(), "losses": torch.tensor(losses)}


def stop(base: FrozenBase, folder: Path) -> str:
    """What is said where one process is told to stop, and where a second training then begins."""
    asked = iter(range(100))
    is_last = PartialState().is_last_process
    try:
        list(
            Trainer(
                base,
                uneven(Task.SINGLE_LABEL),
                SPEC,
                checkpoint_dir=folder,
                should_stop=lambda: next(asked) > STOP_AT and is_last,
            ).run()
        )
    except TrainingCancelled as error:
        second = Trainer(base, uneven(Task.SINGLE_LABEL), SPEC, checkpoint_dir=folder)
        return f"{error}, resumed from {second.resumed_from}"
    return "it did not stop"


def main(folder: Path) -> None:
    """Every process writes what it came to."""
    process = PartialState(cpu=True).process_index
    base = tiny_bert_base()
    for task in Task:
        save_file(trained(base, task), folder / f"{task}-{process}.safetensors")
    (folder / f"stopped-{process}.txt").write_text(stop(base, folder / "checkpoints"))
    gc.collect()
    held = sum(isinstance(each, DistributedDataParallel) for each in gc.get_objects())
    (folder / f"held-{process}.txt").write_text(str(held))
    leave()


if __name__ == "__main__":
    main(Path(sys.argv[1]))
