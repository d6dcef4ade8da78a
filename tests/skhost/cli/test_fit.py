"""Training without a server: one process and two make the same adapter."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from commands import Skhost

from skhost.archive import unpack
from sktuning import artifact
from sktuning.adapter import Adapter

OPTIONS = ("--epochs", "2", "--batch-size", "8", "--rank", "2", "--seed", "3")


@pytest.fixture
def tagged(tmp_path: Path) -> Path:
    """Rows of 1 to 13 words, and so many that the last batch has a single one."""
    words = ("good", "bad", "the", "text", "is", "very", "great")
    rows = []
    for i in range(25 + 12):
        tokens = [words[(i * 5 + at * 3) % len(words)] for at in range(1 + i * 7 % 13)]
        tags = ["B-mood" if w in {"good", "bad", "great"} else "O" for w in tokens]
        rows.append({"tokens": tokens, "tags": tags, "split": "train" if i < 25 else "dev"})
    path = tmp_path / "tagged.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def adapter_in(archive: Path) -> Adapter:
    target = archive.with_suffix(".unpacked")
    with archive.open("rb") as file:
        unpack(file, target)
    return artifact.load(target)


def test_two_processes_make_the_adapter_of_one(
    skhost: Skhost, tagged: Path, tiny_bert_folder: Path, tmp_path: Path
) -> None:
    one, two = tmp_path / "one.tar.gz", tmp_path / "two.tar.gz"
    shared = (*OPTIONS, "--base", str(tiny_bert_folder), "--device", "cpu")
    alone = skhost("fit", str(tagged), "-o", str(one), *shared, "--json")
    assert alone.code == 0, alone.err
    # processes are started as for several GPUs: with --cpu the launcher starts a single one
    launch = ["accelerate.commands.launch", "--multi_gpu", "--num_processes=2", "--num_machines=1"]
    launch += ["--mixed_precision=no", "--dynamo_backend=no", "--main_process_port=0"]
    command = [*launch, "-m", "skhost", "fit", str(tagged), "-o", str(two), *shared, "--json"]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    ran = subprocess.run(
        [sys.executable, "-m", *command],
        capture_output=True, text=True, timeout=110, env=environment, check=False,
    )  # fmt: skip
    assert ran.returncode == 0, ran.stderr
    assert "2 processes" in ran.stderr
    assert ran.stderr.count("step 3 of 8") == 1
    f1, entity_f1 = (json.loads(out)["metrics"]["entity_f1"] for out in (alone.out, ran.stdout))
    assert f1 == pytest.approx(entity_f1)
    expected, seen = adapter_in(one), adapter_in(two)
    assert torch.allclose(expected.state.tensor, seen.state.tensor, atol=1e-5)
    assert torch.allclose(expected.head.weight, seen.head.weight, atol=1e-5)
    assert torch.allclose(expected.head.bias, seen.head.bias, atol=1e-5)


def test_a_file_that_is_not_there_is_named(skhost: Skhost, tmp_path: Path) -> None:
    ran = skhost("fit", str(tmp_path / "no.csv"), "-o", str(tmp_path / "out.tar.gz"))
    assert (ran.code, "there is no such file" in ran.err) == (2, True)
