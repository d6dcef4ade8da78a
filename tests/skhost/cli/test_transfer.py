"""`skhost adapters import` and `export` with PEFT checkpoints."""

import tarfile
from pathlib import Path

import peft_checkpoints as checkpoints
import pytest
from commands import Skhost

pytestmark = pytest.mark.usefixtures("url")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A checkpoint whose shapes fit the server's base."""
    stock = checkpoints.stock("bert", "TOKEN_CLS")
    return checkpoints.save(stock.tuned("prompt"), tmp_path / "checkpoint")


def test_a_checkpoints_folder_comes_in_and_goes_out(
    skhost: Skhost, folder: Path, tmp_path: Path
) -> None:
    labels = ("--labels", "O,B-thing,I-thing")
    made = skhost("adapters", "import", str(folder), "--name", "tuned", *labels, "--json").json
    assert (made["task"], made["labels"]) == ("tokens", ["O", "B-thing", "I-thing"])
    answer = skhost("classify", "-a", "tuned", "a good text", "--json")
    assert answer.code == 0
    out = tmp_path / "back.tar.gz"
    assert skhost("adapters", "export", "tuned", "-o", str(out), "--format", "peft").code == 0
    with tarfile.open(out) as archive:
        assert "adapter_config.json" in archive.getnames()
    again = skhost("adapters", "import", str(out), "--name", "tuned", *labels, "--json").json
    assert again["digest"] == made["digest"]
    assert skhost("adapters", "rm", "tuned", "--yes").code == 0


def test_refusals_are_one_line(skhost: Skhost, folder: Path, tmp_path: Path) -> None:
    refused = skhost("adapters", "import", str(folder), "--name", "x", "--labels", "a,b")
    assert (refused.code, refused.err.count("\n")) == (1, 1)
    assert "2 labels given; the checkpoint has 3" in refused.err
    (folder / "adapter_model.safetensors").rename(folder / "adapter_model.bin")
    pickled = skhost("adapters", "import", str(folder), "--name", "x")
    assert pickled.code == 1
    assert "can run any code" in pickled.err
    empty = skhost("adapters", "import", str(tmp_path), "--name", "x")
    assert "manifest.json" in empty.err
    plain = skhost("adapters", "export", "mood", "--format", "peft", "-o", str(tmp_path / "m"))
    assert "cannot be a PEFT checkpoint" in plain.err
    assert not (tmp_path / "m").exists()
