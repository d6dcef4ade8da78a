"""Virtual tokens as PEFT stores them, to a prompt state and back."""

import torch
from torch import Tensor

from sktuning.base import FrozenBase
from sktuning.errors import BaseMismatch, PeftRefused
from sktuning.peft.checkpoint import Checkpoint
from sktuning.peft.declaration import Kind
from sktuning.peft.layouts import check_prefix
from sktuning.state import PromptState


@torch.no_grad()
def to_state(checkpoint: Checkpoint, base: FrozenBase) -> PromptState:
    """What a checkpoint puts before every text, on the processor; runs a forward.

    Raises:
        PeftRefused: PEFT has no such method for the family, or the prompt leaves texts no room.
        BaseMismatch: the tensor is not of this base's shape.
    """
    length, most = len(checkpoint.prompt), base.max_length // 2
    if length > most:
        raise PeftRefused(f"{length} virtual tokens; {base.identity} has room for {most}")
    if checkpoint.declaration.kind is Kind.PREFIX:
        check_prefix(base)
        return PromptState(kv=_as_kv(checkpoint.prompt, base))
    embeds = checkpoint.prompt
    if embeds.shape[1] != base.embedding_size:
        raise BaseMismatch(
            f"the checkpoint's virtual tokens have {embeds.shape[1]} numbers; "
            f"{base.identity} embeds tokens in {base.embedding_size}"
        )
    if not base.is_causal:
        return PromptState(embeds=embeds)
    # nothing that follows a prompt changes its keys and values, so texts need not pay for it
    return PromptState(kv=base.capture(embeds.to(base.device, base.dtype)).kv.float().cpu())


def from_state(state: PromptState) -> tuple[Kind, Tensor]:
    """The method of PEFT that has such a state, and the tensor that it stores."""
    if state.kv is None:
        return Kind.PROMPT, state.tensor
    # (L, 2, n_kv, P, D) to (P, L, 2, n_kv, D) to (P, L·2·n_kv·D)
    return Kind.PREFIX, state.kv.permute(3, 0, 1, 2, 4).reshape(state.length, -1)


def _as_kv(prompt: Tensor, base: FrozenBase) -> Tensor:
    """(P, L·2·n_kv·D) to (L, 2, n_kv, P, D)."""
    layers, two, heads, _, dim = _one_token(base).shape
    if prompt.shape[1] != layers * two * heads * dim:
        raise BaseMismatch(
            f"the checkpoint's prefix has {prompt.shape[1]} numbers a virtual token; "
            f"{base.identity} has {layers * two * heads * dim}: {layers} layers, "
            f"keys and values, {heads} heads of {dim}"
        )
    return prompt.view(len(prompt), layers, two, heads, dim).permute(1, 2, 3, 0, 4).contiguous()


def _one_token(base: FrozenBase) -> Tensor:
    """Keys and values of some token: heads and their width are seen, not computed."""
    embeds = base.embedding(torch.zeros(1, dtype=torch.long, device=base.device))
    return base.capture(embeds.to(base.dtype)).kv
