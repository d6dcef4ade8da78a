"""Muon: momentum whose every step is as near to orthonormal as can be, for stacks of matrices.

Source: Jordan et al., "Muon: An optimizer for hidden layers in neural networks" (2024), the
iteration and its coefficients; `torch.optim.Muon` takes single matrices only.
"""

from collections.abc import Callable

import torch
from torch import Tensor
from torch.optim import AdamW

_MOMENTUM = 0.95
_COEFFICIENTS = (3.4445, -4.7750, 2.0315)  # of the quintic that sends singular values to about 1
_ITERATIONS = 6
_TINY = 1e-12


class Muon(AdamW):
    """Muon for groups of parameters with ``orthonormal`` set, AdamW for the others.

    Plain gradients of a prompt point nearly the same way for all its tokens, and so do their
    steps; orthonormal ones take the tokens apart. A parameter's last two dimensions are a matrix,
    those before them a stack; ``lr`` is about the root mean square of a step's entries.
    """

    @torch.no_grad()
    def step(self, closure: Callable[[], float] | None = None) -> None:  # type: ignore[override]
        """One step down the gradients; parameters without one stay."""
        for group in self.param_groups:
            if group.get("orthonormal"):
                for parameter in group["params"]:
                    self._move(parameter, group["lr"])
        super().step(closure)

    def _move(self, parameter: Tensor, lr: float) -> None:
        gradient = parameter.grad
        if gradient is None:
            return
        momentum = self.state[parameter].setdefault("momentum", torch.zeros_like(parameter))
        momentum.lerp_(gradient, 1 - _MOMENTUM)
        # looking one step ahead, as Nesterov
        update = orthonormal(gradient.lerp(momentum, _MOMENTUM))
        parameter.add_(update, alpha=-lr * max(update.shape[-2:]) ** 0.5)
        parameter.grad = None  # AdamW leaves alone what has no gradient


def orthonormal(matrices: Tensor) -> Tensor:
    """Near the closest matrices whose singular values are all 1, by Newton and Schulz's iteration.

    Args:
        matrices: (…, M, N).
    """
    a, b, c = _COEFFICIENTS
    is_tall = matrices.shape[-2] > matrices.shape[-1]
    x = matrices.mT if is_tall else matrices
    x = x / (torch.linalg.matrix_norm(x, keepdim=True) + _TINY)
    for _ in range(_ITERATIONS):
        gram = x @ x.mT
        x = a * x + (b * gram + c * gram @ gram) @ x
    result: Tensor = x.mT if is_tall else x
    return result
