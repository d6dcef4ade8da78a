"""The ceiling: the base's own matrix products and nothing else, on as many tokens."""

from collections.abc import Iterator

import torch
from torch import nn

from serving_rungs.rung import Entrant, Setting


def entrants(setting: Setting) -> Iterator[Entrant]:
    """Every linear layer of the base once: as it is served, and by torch's own product."""
    layers = linears(setting.classifier.base.model)
    tokens = max(sum(map(len, batch)) for batch in setting.batches)
    draw = torch.Generator().manual_seed(0)
    inputs = {
        width: torch.randn(tokens, width, generator=draw).to(layers[0].weight)
        for width in {layer.in_features for layer in layers}
    }

    @torch.inference_mode()
    def served(number: int) -> None:
        tokens = sum(map(len, setting.batches[number]))
        for layer in layers:
            layer(inputs[layer.in_features][:tokens])

    @torch.inference_mode()
    def stock(number: int) -> None:
        tokens = sum(map(len, setting.batches[number]))
        for layer in layers:
            nn.functional.linear(inputs[layer.in_features][:tokens], layer.weight, layer.bias)

    yield Entrant({"rung": "ceiling"}, served)
    yield Entrant({"rung": "torch's linear"}, stock)


def linears(model: nn.Module) -> list[nn.Linear]:
    """All linear layers.

    Raises:
        ValueError: there are none.
    """
    found = [module for module in model.modules() if isinstance(module, nn.Linear)]
    if not found:
        raise ValueError(f"{type(model).__name__} has no linear layers to measure")
    return found


def flop_per_token(model: nn.Module) -> int:
    """Multiplications and additions of all linear layers for one token."""
    return 2 * sum(layer.weight.numel() for layer in linears(model))
