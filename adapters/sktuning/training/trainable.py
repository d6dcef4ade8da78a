"""What is trained: a prompt encoder and a head, on top of the frozen base."""

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from sktuning.classify import Classifier, pool
from sktuning.config import AdapterConfig
from sktuning.heads import Head
from sktuning.methods import make_encoder
from sktuning.semantics import Semantics
from sktuning.tokens import EncodedRow
from sktuning.training.prototypes import closeness
from sktuning.training.warmstart import FittedHead, fold


class Trainable(nn.Module):
    """Rows to logits through the frozen base; the base itself is not among the parameters.

    Args:
        has_prototypes: these answer while it is trained, and the head is only ever fitted.
    """

    l2: Tensor
    mean: Tensor
    deviation: Tensor
    prototypes: Tensor

    def __init__(
        self,
        classifier: Classifier,
        semantics: Semantics,
        config: AdapterConfig,
        *,
        has_prototypes: bool = False,
    ) -> None:
        super().__init__()
        base = classifier.base
        torch.manual_seed(config.seed)
        self.encoder = make_encoder(base, semantics, config)
        size = base.hidden_size
        # on standardised features, so that one learning rate suits the states of every base
        self.head = nn.Linear(size, config.num_outputs).to(base.device)
        self.register_buffer("mean", torch.zeros(size, device=base.device))
        self.register_buffer("deviation", torch.ones(size, device=base.device))
        # the penalty that suited the warm-started head goes on holding it
        self.register_buffer("l2", torch.zeros((), device=base.device))
        self.register_buffer(
            "prototypes", torch.zeros(config.num_outputs, size, device=base.device)
        )
        self._has_prototypes = has_prototypes
        self.head.requires_grad_(not has_prototypes)
        self._classifier = classifier
        self._config = config

    def forward(self, rows: Sequence[EncodedRow], keep: Tensor | None = None) -> Tensor:
        """Logits (R, C), or (known words, C); `keep` scales the head's features (dropout)."""
        pooled = self.pooled(rows)
        if self._has_prototypes:
            return closeness(pooled, self.prototypes)
        features = (pooled - self.mean) / self.deviation
        logits: Tensor = self.head(features if keep is None else features * keep)
        return logits

    def pooled(self, rows: Sequence[EncodedRow]) -> Tensor:
        """What the head reads: (R, H), or (known words, H)."""
        state = self.encoder()
        hidden = self._classifier.hidden([(row, self._config, state) for row in rows])
        return pool(hidden, rows, self._config)

    def penalty(self) -> Tensor:
        """What is added to the loss for the head's weight."""
        return self.l2 * self.head.weight.square().sum() / 2

    def set_head(self, fitted: FittedHead) -> None:
        """Put fitted weights into the head."""
        with torch.no_grad():
            self.head.weight.copy_(fitted.weight)
            self.head.bias.copy_(fitted.bias)
            self.mean.copy_(fitted.mean)
            self.deviation.copy_(fitted.deviation)
            self.l2.fill_(fitted.l2)

    def served_head(self) -> Head:
        """The head as constants, on the features as they are."""
        tensors = (self.head.weight, self.head.bias, self.mean, self.deviation)
        return fold(*(tensor.detach().float().cpu() for tensor in tensors))
