"""The layers of a stock model: finding them, and reading or replacing what goes into each."""

from threading import get_ident
from types import TracebackType
from typing import Any, Self

import torch
from torch import Tensor, nn

from sktuning.errors import UnsupportedBase


def find_layers(model: nn.Module, num_layers: int) -> nn.ModuleList:
    """The model's list of layers.

    Raises:
        UnsupportedBase: there is no list of that length, or more than one.
    """
    lists = [m for m in model.modules() if isinstance(m, nn.ModuleList) and len(m) == num_layers]
    heavy = [m for m in lists if sum(p.numel() for p in m.parameters()) > 0]
    if not heavy:
        raise UnsupportedBase(f"{type(model).__name__} has no list of {num_layers} layers")
    return max(heavy, key=lambda m: sum(p.numel() for p in m.parameters()))


class LayerInputs:
    """While entered, records the input of every layer, or puts another in its place.

    Only in the thread that made it: others that run the same layers are neither seen nor changed.

    Args:
        layers: the model's layers, in order.
        replace: (L, P, H): what layer l gets instead of its input; None: only record.
    """

    def __init__(self, layers: nn.ModuleList, replace: Tensor | None = None) -> None:
        self._layers = layers
        self._replace = replace
        self._thread = get_ident()
        self._inputs: list[Tensor] = []
        self._handles: list[Any] = []

    def __enter__(self) -> Self:
        for layer in self._layers:
            self._handles.append(layer.register_forward_pre_hook(self._hook, with_kwargs=True))
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        for handle in self._handles:
            handle.remove()

    def stacked(self) -> Tensor:
        """The inputs seen, (L, P, H)."""
        return torch.stack(self._inputs)

    def _hook(
        self, module: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> tuple[tuple[Any, ...], dict[str, Any]] | None:
        if get_ident() != self._thread:
            return None
        hidden = args[0] if args else kwargs["hidden_states"]  # (1, P, H)
        if self._replace is not None:
            hidden = self._replace[len(self._inputs)][None]
        self._inputs.append(hidden[0])
        if args:
            return (hidden, *args[1:]), kwargs
        return args, {**kwargs, "hidden_states": hidden}
