"""Heads as PEFT stores them, to ours and back."""

from collections.abc import Mapping

import torch
from torch import Tensor

from sktuning.base import FrozenBase
from sktuning.errors import BaseMismatch, ConfigError, PeftRefused
from sktuning.heads import Dense, Head
from sktuning.peft.layouts import Layout


def to_head(tensors: Mapping[str, Tensor], layout: Layout, base: FrozenBase) -> Head:
    """The head in a checkpoint's tensors, in float32 on the processor.

    Raises:
        PeftRefused: other tensors than such a head has, or shapes that do not fit each other.
        BaseMismatch: it reads vectors of another width than this base gives.
    """
    _check_names(tensors, layout, base)
    own = {name: tensor.detach().float().cpu() for name, tensor in tensors.items()}
    weight = own[f"{layout.out}.weight"]
    bias = own.get(f"{layout.out}.bias", weight.new_zeros(weight.shape[:1]))
    try:
        head = Head(weight, bias, _dense(own, layout, base))
    except ConfigError as error:
        raise PeftRefused(f"the checkpoint's {error}") from error
    if head.num_inputs != base.hidden_size:
        raise BaseMismatch(
            f"the checkpoint's head reads {head.num_inputs} numbers; "
            f"{base.identity} gives {base.hidden_size}"
        )
    return head


def from_head(head: Head, layout: Layout, base: FrozenBase) -> dict[str, Tensor]:
    """The tensors that a checkpoint stores of a head.

    Raises:
        PeftRefused: the family's classifier has no place for such a head; says what it has.
    """
    _check_place(head, layout, base)
    tensors = {f"{layout.out}.weight": head.weight}
    if layout.has_bias:
        tensors[f"{layout.out}.bias"] = head.bias
    if layout.dense is not None and head.dense is not None:
        tensors[f"{layout.dense}.weight"] = head.dense.weight
        tensors[f"{layout.dense}.bias"] = head.dense.bias
    return tensors


def _check_names(tensors: Mapping[str, Tensor], layout: Layout, base: FrozenBase) -> None:
    wanted = {f"{layout.out}.weight"} | ({f"{layout.out}.bias"} if layout.has_bias else set())
    if layout.dense is not None:
        wanted |= {f"{layout.dense}.weight", f"{layout.dense}.bias"}
    if tensors.keys() != wanted:
        seen = ", ".join(sorted(tensors)) or "none"
        raise PeftRefused(
            f"the checkpoint's head has the tensors {seen!r:.300}; "
            f"one for {base.family} has {', '.join(sorted(wanted))}"
        )


def _dense(own: Mapping[str, Tensor], layout: Layout, base: FrozenBase) -> Dense | None:
    if layout.reads_pooler:
        return _pooler(base)
    if layout.dense is None or layout.activation is None:
        return None
    weight, bias = own[f"{layout.dense}.weight"], own[f"{layout.dense}.bias"]
    return Dense(weight, bias, layout.activation)


def _pooler(base: FrozenBase) -> Dense:
    if base.pooler is None:
        raise PeftRefused(
            f"a {base.family} classifier reads the base's pooler, and {base.identity} has none: "
            "the checkpoint was trained on other weights"
        )
    return base.pooler


def _check_place(head: Head, layout: Layout, base: FrozenBase) -> None:
    if not layout.has_bias and head.bias.any():
        raise PeftRefused(
            f"PEFT's head for texts on {base.family} is a linear map without a bias; this one has"
        )
    if layout.reads_pooler:
        if not _is_pooler(head.dense, base):
            raise PeftRefused(
                f"PEFT's head on {base.family} reads the base's pooler; this one does not"
            )
    elif head.activation is not layout.activation:
        raise PeftRefused(
            f"PEFT's head on {base.family} has {_described(layout.activation)}; "
            f"this one has {_described(head.activation)}"
        )


def _is_pooler(dense: Dense | None, base: FrozenBase) -> bool:
    pooler = base.pooler
    if dense is None or pooler is None or dense.activation is not pooler.activation:
        return False
    same = (dense.weight, pooler.weight), (dense.bias, pooler.bias)
    return all(torch.equal(a.cpu(), b.cpu()) for a, b in same)


def _described(activation: object) -> str:
    return "no hidden layer" if activation is None else f"a hidden layer followed by {activation}"
