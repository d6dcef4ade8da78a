"""SK-prompt: word embeddings of the prompt to input embeddings (arXiv:2410.08598, section 3.2)."""

from torch import Tensor, nn

from sktuning.base import FrozenBase
from sktuning.config import Transform
from sktuning.semantics import Semantics
from sktuning.state import PromptState
from sktuning.transforms import Linear, LowRank, Nothing, Offset


class SoftPromptEncoder(nn.Module):
    """Makes a prompt state out of the embeddings of the prompt's words.

    In a bidirectional base it is the embeddings, (P, E). In a causal base nothing after a prompt
    changes its keys and values, so the base reads the embeddings and the state is those,
    (L, 2, n_kv, P, D): served texts then pay nothing for the prompt.
    """

    def __init__(
        self, base: FrozenBase, semantics: Semantics, transform: Transform, rank: int
    ) -> None:
        super().__init__()
        self._base = base
        self._embeds = semantics.embeds
        width = semantics.embeds.shape[1]
        self.map: nn.Module
        if transform is Transform.LOW_RANK:
            self.map = LowRank(1, width, width, rank)
        elif transform is Transform.LINEAR:
            self.map = Linear(1, width, width)
        elif transform is Transform.DIRECT:
            self.map = Offset(semantics.embeds[None].shape, semantics.embeds_unit)
        else:
            self.map = Nothing()
        self.is_free = transform is Transform.DIRECT  # its parameters are the state, a token a row

    def embeds(self) -> Tensor:
        """The prompt's input embeddings for the current parameters, (P, E)."""
        start = self._embeds.float()[None]
        changed: Tensor = (start + self.map(start))[0]
        return changed

    def forward(self) -> PromptState:
        """The state for the current parameters."""
        if not self._base.is_causal:
            return PromptState(embeds=self.embeds())
        return PromptState(kv=self._base.capture(self.embeds().to(self._base.dtype)).kv.float())
