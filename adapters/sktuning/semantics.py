"""Semantic states: what the frozen base makes of the prompt's words, read once and kept.

Source: Prottasha et al., Semantic Knowledge Tuning, arXiv:2410.08598, section 3.
"""

from dataclasses import dataclass, replace

import torch
from torch import Tensor

from sktuning.base import FrozenBase
from sktuning.config import MAX_VIRTUAL_TOKENS, Start
from sktuning.errors import ConfigError
from sktuning.tokens import Encoder

_NULL = 1e-3  # singular values below this share of the largest are rounding, or the mean left out
_SPREAD_VALUES = 0.3  # so small that texts are hardly disturbed before training


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

    @property
    def kv_unit(self) -> Tensor:
        """How far the words' keys and values lie apart, by layer: (L, 2, 1, 1, 1)."""
        return _spread_of(self.kv.float(), (2, 3, 4))

    @property
    def embeds_unit(self) -> Tensor:
        """How far the words' embeddings lie apart: (1, 1)."""
        return _spread_of(self.embeds.float(), (0, 1))


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


def started(semantics: Semantics, start: Start, seed: int) -> Semantics:
    """What a prompt starts from: the words' states, or what `start` makes of them."""
    if start is Start.SPREAD:
        embeds, kv = semantics.embeds, semantics.kv
        scale = torch.tensor([1.0, _SPREAD_VALUES], device=kv.device)[:, None, None, None]
        return replace(
            semantics,
            embeds=_apart(embeds.float()).to(embeds.dtype),
            kv=(_apart(kv.float()) * scale).to(kv.dtype),
        )
    return _randomised(semantics, seed) if start is Start.RANDOM else semantics


def _randomised(semantics: Semantics, seed: int) -> Semantics:
    """The same shapes and scales without the meaning."""
    generator = torch.Generator().manual_seed(seed)

    def noise(like: Tensor) -> Tensor:
        drawn = torch.randn(like.shape, generator=generator).to(like.device, like.dtype)
        return drawn * like.std()

    return Semantics(
        semantics.ids, noise(semantics.embeds), noise(semantics.hidden), noise(semantics.kv)
    )


def _apart(words: Tensor) -> Tensor:
    """Words told apart: without what they share, and orthogonal; (…, P, D), each stack by itself.

    Of all sets of orthogonal vectors that span what the words span beside their mean, it is the
    nearest to them (Löwdin's orthogonalisation), at their scale.
    """
    centred = words - words.mean(dim=-2, keepdim=True)
    left, sizes, right = torch.linalg.svd(centred, full_matrices=False)
    kept = (sizes > sizes[..., :1] * _NULL).to(words.dtype)
    scale = (sizes.square().sum(-1) / kept.sum(-1).clamp(min=1)).sqrt()
    turned: Tensor = scale[..., None, None] * ((left * kept[..., None, :]) @ right)
    return turned


def _spread_of(states: Tensor, over: tuple[int, ...]) -> Tensor:
    """Root mean square over `over`, the words' mean left out where there is more than one."""
    words = states.shape[-2]
    apart = states - states.mean(dim=-2, keepdim=True) if words > 1 else states
    return apart.square().mean(dim=over, keepdim=True).sqrt()
