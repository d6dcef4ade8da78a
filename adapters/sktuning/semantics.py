"""Semantic states: what the frozen base makes of the prompt's words, read once and kept.

Source: Prottasha et al., Semantic Knowledge Tuning, arXiv:2410.08598, section 3.
"""

from dataclasses import dataclass

import torch
from torch import Tensor

from sktuning.base import FrozenBase
from sktuning.config import MAX_VIRTUAL_TOKENS, Start
from sktuning.errors import ConfigError
from sktuning.tokens import Encoder


@dataclass(frozen=True, slots=True, eq=False)
class Semantics:
    """A prompt text as the frozen base understood it; P tokens.

    Attributes:
        ids: token ids, (P,).
        embeds: input embeddings, (P, E).
        hidden: the input of every layer while the base read the prompt alone, (L, P, H).
        kv: every layer's keys and values for it, (L, 2, n_kv, P, D).
    """

    ids: tuple[int, ...]
    embeds: Tensor
    hidden: Tensor
    kv: Tensor

    @property
    def length(self) -> int:
        """P."""
        return len(self.ids)


class SemanticCache:
    """Semantic states of one base, each text read once."""

    def __init__(self, base: FrozenBase, encoder: Encoder) -> None:
        self._base = base
        self._encoder = encoder
        self._known: dict[str, Semantics] = {}

    def get(self, text: str) -> Semantics:
        """The states of a prompt text.

        Raises:
            ConfigError: the text has no tokens, or more than a prompt may have.
        """
        if text not in self._known:
            self._known[text] = self._read(text)
        return self._known[text]

    def fits(self, text: str) -> bool:
        """Whether a prompt text has as many tokens as a prompt of this base may have."""
        return 0 < len(self._encoder.prompt_ids(text)) <= self._limit

    @property
    def _limit(self) -> int:
        return min(MAX_VIRTUAL_TOKENS, self._base.max_length // 2)

    @torch.no_grad()
    def _read(self, text: str) -> Semantics:
        ids = self._encoder.prompt_ids(text)
        if not self.fits(text):
            raise ConfigError(
                f"the prompt text has {len(ids)} tokens; 1 to {self._limit} are possible"
            )
        embeds = self._base.embedding(torch.tensor(ids, device=self._base.device)).detach()
        captured = self._base.capture(embeds)
        return Semantics(tuple(ids), embeds, captured.hidden, captured.kv)


def randomised(semantics: Semantics, start: Start, seed: int) -> Semantics:
    """The same shapes and scales without the meaning, for `Start.RANDOM`; else unchanged."""
    if start is Start.SEMANTIC:
        return semantics
    generator = torch.Generator().manual_seed(seed)

    def noise(like: Tensor) -> Tensor:
        drawn = torch.randn(like.shape, generator=generator).to(like.device, like.dtype)
        return drawn * like.std()

    return Semantics(
        semantics.ids, noise(semantics.embeds), noise(semantics.hidden), noise(semantics.kv)
    )
