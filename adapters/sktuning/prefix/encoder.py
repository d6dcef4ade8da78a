"""SK-prefix: semantic states to every layer's keys and values (arXiv:2410.08598, section 3.3)."""

from torch import Tensor, nn

from sktuning.base import FrozenBase
from sktuning.config import Transform
from sktuning.semantics import Semantics
from sktuning.state import PromptState
from sktuning.transforms import Linear, LowRank, Nothing, Offset


class PrefixEncoder(nn.Module):
    """Makes a prefix state (L, 2, n_kv, P, D) out of semantic states.

    ``low_rank`` adds a map of each layer's hidden state straight to its keys and values;
    ``linear`` maps the hidden state and lets the layer's own projections make keys and values.
    Both start as the semantic state itself, as does ``direct``, a free change of keys and values.
    """

    def __init__(
        self, base: FrozenBase, semantics: Semantics, transform: Transform, rank: int
    ) -> None:
        super().__init__()
        self._base = base
        self._semantics = semantics
        self._transform = transform
        layers, _, hidden = semantics.hidden.shape
        _, two, heads, _, dim = semantics.kv.shape
        self.map: nn.Module
        if transform is Transform.LOW_RANK:
            self.map = LowRank(layers, hidden, two * heads * dim, rank)
        elif transform is Transform.LINEAR:
            self.map = Linear(layers, hidden, hidden)
        elif transform is Transform.DIRECT:
            self.map = Offset(semantics.kv.shape, semantics.kv_unit)
        else:
            self.map = Nothing()
        self.is_free = transform is Transform.DIRECT  # its parameters are the state, a token a row

    def forward(self) -> PromptState:
        """The state for the current parameters."""
        hidden, kv = self._semantics.hidden.float(), self._semantics.kv.float()
        change = self.map(hidden)
        if self._transform is Transform.LINEAR:
            return PromptState(kv=self._project(hidden + change))
        if self._transform is Transform.LOW_RANK:
            change = self._as_kv(change)
        return PromptState(kv=kv + change)

    def _as_kv(self, change: Tensor) -> Tensor:
        """(L, P, 2·n_kv·D) to (L, 2, n_kv, P, D)."""
        layers, two, heads, length, dim = self._semantics.kv.shape
        return change.view(layers, length, two, heads, dim).permute(0, 2, 3, 1, 4)

    def _project(self, hidden: Tensor) -> Tensor:
        dtype = self._base.dtype
        embeds = self._semantics.embeds.to(dtype)
        return self._base.capture(embeds, replace=hidden.to(dtype)).kv.float()
