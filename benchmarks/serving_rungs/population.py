"""Adapters to serve: of the usual shape, with tensors drawn by their number."""

from collections.abc import Sequence
from dataclasses import replace

import torch

from skhost.reference import reference_adapter
from sktuning.adapter import Adapter
from sktuning.classify import Classifier
from sktuning.heads import Head
from sktuning.state import PromptState

VIRTUAL_TOKENS = 20


def make(classifier: Classifier, count: int) -> Sequence[Adapter]:
    """`count` prefix adapters, in the base's dtype."""
    base = classifier.base
    first = reference_adapter(classifier)
    config = replace(first.config, num_virtual_tokens=VIRTUAL_TOKENS)
    layers, two, heads, _, width = first.state.tensor.shape
    scale = float(first.state.tensor.float().std())
    draw = torch.Generator().manual_seed(0)

    def one() -> Adapter:
        kv = torch.randn(layers, two, heads, VIRTUAL_TOKENS, width, generator=draw) * scale
        weight = torch.randn(first.head.weight.shape, generator=draw)
        state = PromptState(kv=kv).to(base.device, base.dtype)
        return Adapter(config, state, Head(weight, first.head.bias).to(base.device))

    return [one() for _ in range(count)]
