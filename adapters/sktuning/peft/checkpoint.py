"""A PEFT checkpoint on disk: two files that nobody vouches for, read and checked."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from sktuning.errors import PeftRefused
from sktuning.header import TensorEntry, parse_header
from sktuning.manifest import CONFIG, MODEL, read_bounded
from sktuning.peft.declaration import PICKLED, PICKLED_REASON, Declaration
from sktuning.served import parse_tensors

PROMPT = "prompt_embeddings"  # always the result: PEFT leaves the reparametrisation behind
MODULES = "base_model."  # what modules_to_save are stored under
MAX_HEAD_TENSORS = 8


@dataclass(frozen=True, slots=True, eq=False)
class Checkpoint:
    """What was read.

    Attributes:
        prompt: (P, E), or (P, L·2·n_kv·D) of a prefix.
        head: the tensors of the base's modules that were trained too, by their names in it.
    """

    declaration: Declaration
    prompt: Tensor
    head: Mapping[str, Tensor]


def read(folder: Path) -> Checkpoint:
    """The checkpoint in `folder`; other files there are not looked at.

    Raises:
        PeftRefused: it cannot become an adapter; says why.
        ArtifactCorrupt: its files are broken or hostile.
    """
    declaration = Declaration.parse(read_bounded(folder, CONFIG))
    _check_not_pickled(folder)
    data = read_bounded(folder, MODEL)
    _check_entries(parse_header(data, MODEL), declaration)
    tensors = parse_tensors(data, MODEL)
    for name, tensor in tensors.items():
        if not torch.isfinite(tensor).all():
            raise PeftRefused(f"{name!r:.100} has values that are not finite")
    prompt = tensors.pop(PROMPT)
    return Checkpoint(
        declaration, prompt, {name.removeprefix(MODULES): t for name, t in tensors.items()}
    )


def _check_not_pickled(folder: Path) -> None:
    if (folder / MODEL).exists():
        return
    if any((folder / name).exists() for name in PICKLED):
        raise PeftRefused(PICKLED_REASON)
    raise PeftRefused(f"the checkpoint has no {MODEL}")


def _check_entries(entries: Mapping[str, TensorEntry], declaration: Declaration) -> None:
    if PROMPT not in entries:
        raise PeftRefused(f"the checkpoint has no {PROMPT}, but {', '.join(entries)!r:.200}")
    names = entries.keys() - {PROMPT}
    if foreign := sorted(name for name in names if not name.startswith(MODULES)):
        raise PeftRefused(f"{foreign[0]!r:.100} is not known in a checkpoint of {declaration.kind}")
    if len(names) > MAX_HEAD_TENSORS:
        raise PeftRefused(f"{len(names)} tensors beside the prompt; heads have at most 4")
    shape = entries[PROMPT].shape
    if len(shape) != 2 or shape[0] != declaration.num_virtual_tokens or not shape[1]:
        raise PeftRefused(
            f"{PROMPT} has the shape {shape}; {declaration.num_virtual_tokens} rows are expected"
        )
