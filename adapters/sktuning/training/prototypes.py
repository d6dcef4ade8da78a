"""Learning from few rows: a text is drawn to the mean of its label's texts, and away from others'.

The mean of a label is its prototype, as in prototypical networks (Snell et al., arXiv:1703.05175);
closeness is the cosine over a temperature, as in supervised contrastive learning (Khosla et al.,
arXiv:2004.11362). A head is fitted on what comes out, as SetFit does (arXiv:2209.11055).
"""

import torch
from torch import Tensor
from torch.nn import functional as F

TEMPERATURE = 0.1


def prototypes_of(features: Tensor, targets: Tensor, num_labels: int) -> Tensor:
    """(C, H): the mean direction of each label's features, of length one; none where it has no row.

    Args:
        features: (N, H).
        targets: (N,) label numbers.
        num_labels: C.
    """
    sums = torch.zeros(num_labels, features.shape[1], device=features.device)
    sums.index_add_(0, targets.to(features.device), F.normalize(features.float(), dim=-1))
    return F.normalize(sums, dim=-1)


def closeness(features: Tensor, prototypes: Tensor) -> Tensor:
    """(N, C): logits of features (N, H) by prototypes (C, H)."""
    return F.normalize(features.float(), dim=-1) @ prototypes.T / TEMPERATURE
