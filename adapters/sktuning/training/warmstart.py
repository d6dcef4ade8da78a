"""A head that starts fitted: full-batch L-BFGS on what the frozen base says before any training."""

from collections.abc import Callable

import torch
from torch import Tensor

from sktuning.heads import Head

L2 = 1e-3
MAX_ITERATIONS = 60


def fit_head(
    features: Tensor, loss: Callable[[Tensor], Tensor], num_outputs: int, *, l2: float = L2
) -> Head:
    """Fit a linear head on fixed features.

    Args:
        features: (N, H), float32.
        loss: of logits (N, C).
        num_outputs: C.
        l2: penalty on the weights of the standardised features.
    """
    mean, deviation = features.mean(0), features.std(0, correction=0).clamp(min=1e-4)
    standard = (features - mean) / deviation
    weight = torch.zeros(num_outputs, features.shape[1], requires_grad=True)
    bias = torch.zeros(num_outputs, requires_grad=True)
    optimiser = torch.optim.LBFGS(
        [weight, bias], max_iter=MAX_ITERATIONS, history_size=10, line_search_fn="strong_wolfe"
    )

    def closure() -> Tensor:
        optimiser.zero_grad()
        value = loss(standard @ weight.T + bias) + l2 * weight.square().sum() / 2
        value.backward()  # type: ignore[no-untyped-call]
        return value

    with torch.enable_grad():
        optimiser.step(closure)  # type: ignore[no-untyped-call]
    folded = (weight / deviation).detach()
    return Head(folded, (bias - folded @ mean).detach())
