"""An adapter as a PEFT checkpoint, where PEFT's classifiers have a place for all of it."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from sktuning import card, document
from sktuning.adapter import Adapter
from sktuning.base import FrozenBase
from sktuning.config import AdapterConfig, Task, TextOffset
from sktuning.errors import PeftRefused
from sktuning.manifest import CARD, CONFIG, MODEL
from sktuning.peft.checkpoint import MODULES, PROMPT
from sktuning.peft.declaration import Kind, PeftTask
from sktuning.peft.heads import from_head
from sktuning.peft.layouts import Layout, check_prefix, find_layout
from sktuning.peft.prompts import from_state
from sktuning.served import tensor_bytes
from sktuning.state import PromptState


def export(folder: Path, adapter: Adapter, base: FrozenBase) -> None:
    """Write the checkpoint into `folder`; see `files`."""
    contents = files(adapter, base)
    folder.mkdir(parents=True, exist_ok=True)
    for name, data in contents.items():
        (folder / name).write_bytes(data)


def files(adapter: Adapter, base: FrozenBase) -> dict[str, bytes]:
    """The files of the checkpoint by name; PEFT loads it and answers with the same logits.

    Raises:
        PeftRefused: PEFT cannot compute what this adapter does; says why.
        BaseMismatch: the adapter belongs to another base.
    """
    base.check(adapter.config.base)
    task = PeftTask.TOKENS if adapter.config.task is Task.TOKENS else PeftTask.SEQUENCE
    layout = find_layout(base, task)
    _check_reading(adapter, layout)
    kind, prompt = from_state(adapter.state)
    if kind is Kind.PREFIX:
        check_prefix(base)
    head = from_head(adapter.head, layout, base)
    tensors = {PROMPT: prompt, **{f"{MODULES}{name}": t for name, t in head.items()}}
    config = {**_common(adapter, task), **_of_kind(adapter.state, base)}
    return {
        CONFIG: document.pretty(dict(sorted(config.items()))),
        MODEL: tensor_bytes(tensors),
        CARD: _readme(adapter.config, task).encode("utf-8", errors="replace"),
    }


def _check_reading(adapter: Adapter, layout: Layout) -> None:
    """PEFT counts positions and picks the token that the head reads in one way only."""
    config = adapter.config
    if config.text_offset is not TextOffset.AFTER_PROMPT:
        raise PeftRefused(
            "texts of this adapter begin at position 0, beside its prompt; PEFT's after the prompt"
        )
    if config.task is Task.TOKENS:
        return
    in_row = adapter.state.embeds is not None
    if config.pooling is not layout.pooling or (in_row and not config.pools_prompt):
        own = " of the text's own tokens" if in_row else ""
        raise PeftRefused(
            f"this adapter's head reads the {config.pooling}{own}; PEFT's reads the "
            f"{layout.pooling} of the row"
        )


def _common(adapter: Adapter, task: PeftTask) -> dict[str, Any]:
    return {
        "auto_mapping": None,
        "base_model_name_or_path": adapter.config.base.name,
        "inference_mode": True,
        "modules_to_save": None,  # PEFT adds the names of the head by itself
        "num_transformer_submodules": 1,
        "num_virtual_tokens": adapter.state.length,
        "revision": None,
        "task_type": task.value,
    }


def _of_kind(state: PromptState, base: FrozenBase) -> Mapping[str, Any]:
    if state.kv is None:
        return {
            "peft_type": Kind.PROMPT.value,
            # of no meaning to a prompt, but PEFT asks for them where it does not know the family
            "num_attention_heads": base.model.config.num_attention_heads,  # type: ignore[union-attr]
            "num_layers": base.num_layers,
            "prompt_tuning_init": "RANDOM",
            "token_dim": state.tensor.shape[1],
        }
    layers, _, heads, _, dim = state.kv.shape
    return {
        "peft_type": Kind.PREFIX.value,
        "encoder_hidden_size": heads * dim,
        "num_attention_heads": heads,
        "num_layers": layers,
        "prefix_projection": False,
        "token_dim": heads * dim,
    }


def _readme(config: AdapterConfig, task: PeftTask) -> str:
    """What a checkpoint of PEFT has no field for."""
    kind = "Token" if task is PeftTask.TOKENS else "Sequence"
    number = config.num_outputs
    lines = [
        "---",
        "library_name: peft",
        f"base_model: {card.quoted(config.base.name)}",
        "---",
        "# A classifier as a PEFT checkpoint",
        "",
        f"Load it onto `AutoModelFor{kind}Classification` of the base with `num_labels={number}`.",
        f"The base it belongs to has the digest {card.escape(config.base.digest)}.",
    ]
    if not config.adds_special_tokens:
        lines.append("On a causal base, encode texts with `add_special_tokens=False`.")
    lines += ["", *(f"{i}. {card.escape(label)}" for i, label in enumerate(config.labels))]
    return "\n".join(lines) + "\n"
