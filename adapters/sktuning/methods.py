"""From the name of a method to its encoder: the one place that tells methods apart."""

from typing import TypeAlias

from sktuning.base import FrozenBase
from sktuning.config import AdapterConfig, Method, Start, TextOffset, Transform
from sktuning.prefix.encoder import PrefixEncoder
from sktuning.prompt.encoder import SoftPromptEncoder
from sktuning.semantics import Semantics, started

PromptEncoder: TypeAlias = PrefixEncoder | SoftPromptEncoder

_ENCODERS: dict[Method, type[PrefixEncoder] | type[SoftPromptEncoder]] = {
    Method.SK_PREFIX: PrefixEncoder,
    Method.SK_PROMPT: SoftPromptEncoder,
}


def make_encoder(base: FrozenBase, semantics: Semantics, config: AdapterConfig) -> PromptEncoder:
    """The trainable encoder that an adapter's configuration asks for."""
    start = started(semantics, config.start, config.seed)
    encoder = _ENCODERS[config.method](base, start, config.transform, config.rank)
    return encoder.to(base.device)


def default_offset(base: FrozenBase) -> TextOffset:
    """Where texts begin: absolute encoders share positions with the prompt, others come after."""
    if base.is_causal or base.is_rotary:
        return TextOffset.AFTER_PROMPT
    return TextOffset.SHARED


def default_start(base: FrozenBase, transform: Transform) -> Start:
    """The words' states as they are, but told apart where an encoder's prompt is trained.

    In a causal base they are just what a prompt in front of the text would leave there. An encoder
    never saw a prompt read apart from its text: there the words' states are nearly alike, and
    training from them ends lower than from noise. Words before its text it reads as a part of it.
    """
    is_own = base.is_causal or transform is Transform.FROZEN
    return Start.SEMANTIC if is_own else Start.SPREAD


def default_learning_rate(method: Method, transform: Transform) -> float:
    """What suits a transform; for ``direct`` in units of how far the words lie apart."""
    if transform is Transform.DIRECT:
        return 3e-2 if method is Method.SK_PREFIX else 5e-1
    return 5e-3
