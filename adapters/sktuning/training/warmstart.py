"""A head that starts fitted: full-batch L-BFGS on what the frozen base says before any training."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from sktuning.heads import Head

STRENGTHS = (1.0, 0.3, 0.1, 0.03, 0.01, 0.003, 0.001)  # of the penalty, strongest first
FOLDS = 5  # every fifth row judges the strengths
MAX_ITERATIONS = 60

Loss = Callable[[Tensor, Tensor], Tensor]  # of logits (N, C) against targets (N, …)


@dataclass(frozen=True, slots=True, eq=False)
class FittedHead:
    """A head on standardised features, and the penalty that suited it.

    Attributes:
        weight: (C, H), of features less `mean` over `deviation`.
        bias: (C,).
        l2: strength of the penalty on the weight.
        mean, deviation: of each feature, (H,).
    """

    weight: Tensor
    bias: Tensor
    l2: float
    mean: Tensor
    deviation: Tensor

    @property
    def head(self) -> Head:
        """The same head on the features as they are."""
        return fold(self.weight, self.bias, self.mean, self.deviation)


def fold(weight: Tensor, bias: Tensor, mean: Tensor, deviation: Tensor) -> Head:
    """A head on standardised features as one on the features themselves."""
    folded = weight / deviation
    return Head(folded, bias - folded @ mean)


def fit_head(
    features: Tensor,
    targets: Tensor,
    loss: Loss,
    num_outputs: int,
    strengths: Sequence[float] = STRENGTHS,
) -> FittedHead:
    """Fit a linear head on fixed features, as firmly held as unseen rows ask for.

    Few rows want a strong penalty and many a weak one; it is chosen by the loss of rows left out,
    and the head is then fitted on all.

    Args:
        features: (N, H), float32.
        targets: (N, …), as `loss` takes them.
        num_outputs: C.
    """
    mean, deviation = features.mean(0), features.std(0, correction=0).clamp(min=1e-4)
    standard = (features - mean) / deviation
    l2 = _choose(standard, targets, loss, num_outputs, strengths)
    weight, bias = _fit(standard, targets, loss, num_outputs, l2)
    return FittedHead(weight, bias, l2, mean, deviation)


def _choose(
    features: Tensor, targets: Tensor, loss: Loss, num_outputs: int, strengths: Sequence[float]
) -> float:
    """The strength whose fit says most of every fifth row."""
    if len(features) < 2 * FOLDS or len(strengths) == 1:
        return strengths[0]
    is_judge = torch.arange(len(features)) % FOLDS == 0

    def judged(l2: float) -> float:
        weight, bias = _fit(features[~is_judge], targets[~is_judge], loss, num_outputs, l2)
        return float(loss(features[is_judge] @ weight.T + bias, targets[is_judge]))

    return min(strengths, key=judged)


def _fit(
    features: Tensor, targets: Tensor, loss: Loss, num_outputs: int, l2: float
) -> tuple[Tensor, Tensor]:
    """Weight (C, H) and bias (C,)."""
    weight = torch.zeros(num_outputs, features.shape[1], requires_grad=True)
    bias = torch.zeros(num_outputs, requires_grad=True)
    optimiser = torch.optim.LBFGS(
        [weight, bias], max_iter=MAX_ITERATIONS, history_size=10, line_search_fn="strong_wolfe"
    )

    def closure() -> Tensor:
        optimiser.zero_grad()
        value = loss(features @ weight.T + bias, targets) + l2 * weight.square().sum() / 2
        value.backward()  # type: ignore[no-untyped-call]
        return value

    with torch.enable_grad():
        optimiser.step(closure)  # type: ignore[no-untyped-call]
    return weight.detach(), bias.detach()
