"""Linear layers for serving on a processor: bfloat16 weights in the order that products read."""

from typing import Any

import torch
from torch import Tensor, nn

from sktuning.precision import has_fast_bfloat16

_TOKENS = 1024  # the layout hardly depends on it; any number of tokens can be multiplied


class LaidOutLinear(nn.Linear):
    """A linear layer that keeps a second copy of its weight, in the order that products read it.

    The copy is made on first use. Where a gradient is wanted, and in other dtypes, it is a linear
    layer like any other.
    """

    _laid_out: Tensor | None = None

    def forward(self, input: Tensor) -> Tensor:
        """(…, in) to (…, out)."""
        if torch.is_grad_enabled() or self.weight.dtype is not torch.bfloat16:
            return super().forward(input)
        if self._laid_out is None:
            self._laid_out = torch.ops.mkldnn._reorder_linear_weight(self.weight, _TOKENS)
        out: Tensor = torch.ops.mkldnn._linear_pointwise(
            input, self._laid_out, self.bias, "none", [], ""
        )
        return out

    def __getstate__(self) -> dict[str, Any]:
        """Without the second copy: whoever copies or converts the layer has another weight."""
        return {name: value for name, value in self.__dict__.items() if name != "_laid_out"}


def lay_out(model: nn.Module) -> int:
    """Make the model's linear layers such ones, where that is faster; how many there are now."""
    weight = next(model.parameters())
    is_served_so = weight.dtype is torch.bfloat16 and weight.device.type == "cpu"
    if not (is_served_so and has_fast_bfloat16(weight.device) and torch._C._has_mkldnn):
        return 0
    found = [module for module in model.modules() if type(module) is nn.Linear]
    for module in found:
        module.__class__ = LaidOutLinear
    return len(found)
