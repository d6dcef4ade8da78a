"""From the name of a method to its encoder: the one place that tells methods apart."""

from typing import TypeAlias

from sktuning.base import FrozenBase
from sktuning.config import AdapterConfig, Method, TextOffset
from sktuning.prefix.encoder import PrefixEncoder
from sktuning.prompt.encoder import SoftPromptEncoder
from sktuning.semantics import Semantics, randomised

PromptEncoder: TypeAlias = PrefixEncoder | SoftPromptEncoder

_ENCODERS: dict[Method, type[PrefixEncoder] | type[SoftPromptEncoder]] = {
    Method.SK_PREFIX: PrefixEncoder,
    Method.SK_PROMPT: SoftPromptEncoder,
}


def make_encoder(base: FrozenBase, semantics: Semantics, config: AdapterConfig) -> PromptEncoder:
    """The trainable encoder that an adapter's configuration asks for."""
    start = randomised(semantics, config.start, config.seed)
    encoder = _ENCODERS[config.method](base, start, config.transform, config.rank)
    return encoder.to(base.device)


def default_offset(base: FrozenBase) -> TextOffset:
    """Where texts begin: absolute encoders share positions with the prompt, others come after."""
    if base.is_causal or base.is_rotary:
        return TextOffset.AFTER_PROMPT
    return TextOffset.SHARED
