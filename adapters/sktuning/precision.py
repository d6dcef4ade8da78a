"""Number formats: what a device computes fast, and turning a model into one."""

from typing import Final

import torch
from torch import nn

MIN_WIDTH: Final = 128  # hidden size; measured: 32 is slower, 128 to 768 up to twice as fast


def has_fast_bfloat16(device: torch.device) -> bool:
    """Whether the device multiplies bfloat16 in hardware; elsewhere it is emulated, and slow."""
    if device.type == "cuda":
        return bool(torch.cuda.is_bf16_supported(including_emulation=False))
    if device.type != "cpu":
        return False
    known: dict[str, object] = getattr(torch.cpu, "get_capabilities", dict)()
    return any(known.get(name) is True for name in ("avx512_bf16", "amx_bf16", "bf16"))


def prefers_bfloat16(device: torch.device, width: int) -> bool:
    """Whether a base of that hidden size is faster in bfloat16 there."""
    return width >= MIN_WIDTH and has_fast_bfloat16(device)


def choose_precision(wanted: str, device: torch.device, width: int) -> str:
    """What to train in: ``auto`` is bf16 where the device is fast at it and layers are wide enough.

    Every new length has its kernels prepared first, which narrow layers never earn back.
    """
    if wanted != "auto":
        return wanted
    return "bf16" if prefers_bfloat16(device, width) else "no"


def convert(model: nn.Module, dtype: torch.dtype) -> nn.Module:
    """Change what the model stores to `dtype`, in place.

    What it computes for itself stays as exact as it is: rotary frequencies in bfloat16 would be
    off by a whole turn some thousand tokens on.
    """
    for module in model.modules():
        for name, tensor in (*module._parameters.items(), *module._buffers.items()):
            if tensor is None or name in module._non_persistent_buffers_set:
                continue
            if tensor.is_floating_point():
                tensor.data = tensor.data.to(dtype)
    return model
