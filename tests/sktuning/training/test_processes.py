"""Two processes that share a training: the same adapter as one, and of one mind."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
import shared_training
import torch
from safetensors.torch import load_file

from sktuning.base import FrozenBase
from sktuning.config import Task
from sktuning.training.processes import own_device


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What two processes left behind."""
    folder = tmp_path_factory.mktemp("shared")
    command = ["-m", "torch.distributed.run", "--standalone", "--nproc-per-node=2"]
    ran = subprocess.run(
        [sys.executable, *command, shared_training.__file__, str(folder)],
        capture_output=True,
        text=True,
        check=False,
        timeout=110,
        env={**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": os.pathsep.join(sys.path)},
    )
    assert ran.returncode == 0, ran.stderr
    return folder


@pytest.mark.parametrize("task", list(Task))
def test_two_processes_train_what_one_does(tiny_bert: FrozenBase, shared: Path, task: Task) -> None:
    expected = shared_training.trained(tiny_bert, task)
    for process in range(2):
        seen = load_file(shared / f"{task}-{process}.safetensors")
        assert seen.keys() == expected.keys()
        for name, tensor in expected.items():
            assert torch.allclose(tensor, seen[name], atol=5e-5, rtol=1e-5), name


def test_all_processes_stop_when_one_is_told_to_and_go_on_together(shared: Path) -> None:
    for process in range(2):
        said = (shared / f"stopped-{process}.txt").read_text()
        assert said == "stopped at step 3 of 6, resumed from 3"


def test_a_trainer_that_nobody_holds_holds_no_group_of_processes(shared: Path) -> None:
    """What is left of one would end the group with the interpreter's lock, and might never."""
    assert [(shared / f"held-{process}.txt").read_text() for process in range(2)] == ["0", "0"]


def test_a_device_that_was_chosen_is_kept() -> None:
    assert own_device("cpu") == "cpu"
    assert own_device("cuda:3") == "cuda:3"
