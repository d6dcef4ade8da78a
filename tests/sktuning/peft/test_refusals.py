"""What cannot be imported is refused, and the refusal says why."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import peft_checkpoints as checkpoints
import pytest
import torch
from safetensors.torch import load_file, save_file
from tiny_families import BY_NAME

from sktuning import peft
from sktuning.config import Task
from sktuning.errors import ArtifactCorrupt, BaseMismatch, ConfigError, PeftRefused
from sktuning.peft import ImportOptions

CONFIG, MODEL = "adapter_config.json", "adapter_model.safetensors"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A good checkpoint for bert."""
    return checkpoints.save(checkpoints.stock("bert").tuned("prompt"), tmp_path)


def load(folder: Path, family: str = "bert", **options: Any) -> None:
    peft.load(folder, checkpoints.stock(family).base, ImportOptions(**options))


def declare(folder: Path, **changes: Any) -> None:
    values = json.loads((folder / CONFIG).read_text())
    (folder / CONFIG).write_text(json.dumps({**values, **changes}))


def change(folder: Path, edit: Callable[[dict[str, torch.Tensor]], object]) -> None:
    tensors = load_file(folder / MODEL)
    edit(tensors)
    save_file(tensors, folder / MODEL)


@pytest.mark.parametrize(
    ("values", "reason"),
    [
        ({"peft_type": "LORA"}, "changes what the base's layers compute"),
        ({"peft_type": "IA3"}, "changes what the base's layers compute"),
        ({"peft_type": "ADAPTION_PROMPT"}, "gates of their own"),
        ({"peft_type": "MULTITASK_PROMPT_TUNING"}, "another one for every task id"),
        ({"peft_type": "LORA"}, "PREFIX_TUNING, PROMPT_TUNING, P_TUNING can be"),
        ({"peft_type": None}, "names no type"),
        ({"peft_type": ["LORA"]}, "names no type"),
        ({"task_type": "CAUSAL_LM"}, "it generates text; SEQ_CLS and TOKEN_CLS can be"),
        ({"task_type": "SEQ_2_SEQ_LM"}, "encoder-decoder"),
        ({"task_type": None}, "not one of those that classify"),
        ({"num_transformer_submodules": 2}, "encoder-decoder models are not supported"),
        ({"num_virtual_tokens": 257}, "1 to 256 are possible"),
        ({"num_virtual_tokens": 0}, "1 to 256 are possible"),
        ({"num_virtual_tokens": True}, "1 to 256 are possible"),
        ({"num_virtual_tokens": 5}, "5 rows are expected"),
        ({"base_model_name_or_path": 7}, "base_model_name_or_path is 7"),
    ],
)
def test_declarations(folder: Path, values: dict[str, Any], reason: str) -> None:
    declare(folder, **values)
    with pytest.raises(PeftRefused, match=reason):
        load(folder)


@pytest.mark.parametrize(
    ("edit", "reason"),
    [
        (lambda t: t.pop("prompt_embeddings"), "no prompt_embeddings"),
        (lambda t: t.update({"word_embeddings.weight": torch.ones(2)}), "is not known"),
        (lambda t: t.update({"base_model.extra": torch.ones(2)}), "classifier.weight, extra"),
        (lambda t: t.pop("base_model.classifier.bias"), "one for bert has classifier.bias"),
        (lambda t: t["prompt_embeddings"].fill_(torch.nan), "not finite"),
        (lambda t: t.update({"base_model.classifier.bias": torch.ones(4)}), r"bias \(C,\)"),
        (lambda t: t.update({f"base_model.{i}": torch.ones(1) for i in range(9)}), "11 tensors"),
    ],
)
def test_tensors(
    folder: Path, edit: Callable[[dict[str, torch.Tensor]], object], reason: str
) -> None:
    change(folder, edit)
    with pytest.raises(PeftRefused, match=reason):
        load(folder)


def test_pickled_weights_are_refused_with_the_way_out(folder: Path) -> None:
    (folder / MODEL).rename(folder / "adapter_model.bin")
    with pytest.raises(PeftRefused, match=r"can run any code.*safe_serialization=True"):
        load(folder)
    (folder / "adapter_model.bin").unlink()
    with pytest.raises(PeftRefused, match=r"has no adapter_model\.safetensors"):
        load(folder)


@pytest.mark.parametrize(
    ("name", "content"),
    [(CONFIG, b"{"), (CONFIG, b"[]"), (MODEL, b"\xff" * 64), (MODEL, b"")],
)
def test_broken_files(folder: Path, name: str, content: bytes) -> None:
    (folder / name).write_bytes(content)
    with pytest.raises(ArtifactCorrupt):
        load(folder)


def test_links_are_not_followed(folder: Path, tmp_path: Path) -> None:
    (folder / CONFIG).rename(tmp_path / "elsewhere.json")
    (folder / CONFIG).symlink_to(tmp_path / "elsewhere.json")
    with pytest.raises(ArtifactCorrupt, match="cannot be opened"):
        load(folder)


def test_numbers_that_are_not_served_are_refused(folder: Path) -> None:
    change(folder, lambda t: t.update(prompt_embeddings=t["prompt_embeddings"].double()))
    with pytest.raises(ArtifactCorrupt, match="F64"):
        load(folder)


def _wider(folder: Path, name: str) -> None:
    change(folder, lambda t: t.update({name: torch.ones(len(t[name]), 40)}))


def test_shapes_of_another_base_are_refused_with_both(folder: Path) -> None:
    _wider(folder, "prompt_embeddings")
    with pytest.raises(BaseMismatch, match=r"have 40 numbers; tiny-bert .* embeds tokens in 32"):
        load(folder)


def test_a_head_of_another_width_is_refused_with_both(tmp_path: Path) -> None:
    checkpoints.save(checkpoints.stock("gpt2").tuned("prefix"), tmp_path)
    _wider(tmp_path, "base_model.score.weight")
    with pytest.raises(BaseMismatch, match=r"reads 40 numbers; tiny-gpt2 .* gives 32"):
        load(tmp_path, "gpt2")


def test_a_prefix_of_another_base_is_refused_with_both(tmp_path: Path) -> None:
    checkpoints.save(checkpoints.stock("gpt2").tuned("prefix"), tmp_path)
    with pytest.raises(BaseMismatch, match=r"has 192 numbers .* has 96: 3 layers, .* 2 heads of 8"):
        load(tmp_path, "llama")


def test_a_head_of_another_family_is_refused_with_both(folder: Path) -> None:
    with pytest.raises(PeftRefused, match=r"tensors .classifier\.bias.*one for roberta has"):
        load(folder, "roberta")


def test_families_whose_heads_are_not_known_are_refused(folder: Path) -> None:
    with pytest.raises(PeftRefused, match="how a modernbert classifier"):
        load(folder, "modernbert")


def test_a_head_that_reads_a_pooler_needs_a_base_that_has_one(folder: Path) -> None:
    with pytest.raises(PeftRefused, match="has none: the checkpoint was trained on other weights"):
        peft.load(folder, BY_NAME["bert"].base())


def test_a_prompt_that_leaves_texts_no_room_is_refused(tmp_path: Path) -> None:
    checkpoints.save(checkpoints.stock("bert").tuned("prompt", length=65), tmp_path)
    with pytest.raises(PeftRefused, match=r"65 virtual tokens; .* has room for 64"):
        load(tmp_path)


@pytest.mark.parametrize(
    ("options", "reason"),
    [
        ({"labels": ("a", "b")}, "2 labels given; the checkpoint has 3"),
        ({"labels": ("a", "a", "b")}, "must differ"),
        ({"task": Task.TOKENS}, "cannot be tokens"),
        ({"task": Task.REGRESSION}, "3 outputs; regression has one"),
    ],
)
def test_options_that_do_not_fit(folder: Path, options: dict[str, Any], reason: str) -> None:
    with pytest.raises(ConfigError, match=reason):
        load(folder, **options)


def test_a_number_has_no_labels(tmp_path: Path) -> None:
    stock = checkpoints.stock("bert", num_labels=1)
    checkpoints.save(stock.tuned("prompt"), tmp_path)
    with pytest.raises(ConfigError, match="no labels"):
        peft.load(tmp_path, stock.base, ImportOptions(labels=("a",)))
