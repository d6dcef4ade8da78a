"""Proof at load time that a path computes what the stock model computes, on this very base.

A family whose attention cannot be replaced only warns, and would then mix rows silently; another
counts its positions differently and would be wrong without an error. So nothing is trusted: the
path's answers are compared with the stock model's, row by row.
"""

from collections.abc import Callable, Sequence

import torch
from torch import Tensor, nn

from sktuning.errors import UnsupportedBase
from sktuning.rows import Captured, Hidden, Row
from sktuning.state import PromptState

TOLERANCE = 1e-3  # of the hidden states' scale, fp32; wrong paths are off by 1e-1 and more
_ROWS = ((3, 4, 5, 6, 7), (9, 8, 7), (11, 5, 9, 4, 12, 6, 3, 10))

Forward = Callable[[Sequence[Row]], Hidden]
Capture = Callable[[Tensor], Captured]


@torch.no_grad()
def stock_outputs(model: nn.Module, is_causal: bool) -> list[Tensor]:
    """What the stock model says to each probe row alone, and for causal bases to row 0 + row 1."""
    device = next(model.parameters()).device
    sequences = [list(row) for row in _ROWS]
    if is_causal:
        sequences.append([*_ROWS[0], *_ROWS[1]])
    outputs = []
    for ids in sequences:
        tensor = torch.tensor([ids], device=device)
        outputs.append(model(input_ids=tensor, return_dict=True).last_hidden_state[0])
    return outputs


@torch.no_grad()
def check_path(
    forward: Forward,
    capture: Capture,
    embedding: nn.Module,
    stock: Sequence[Tensor],
    is_causal: bool,
) -> None:
    """Compare a path with the stock model's answers.

    Raises:
        UnsupportedBase: they differ.
    """
    rows = [Row(ids, [0] * len(ids)) for ids in _ROWS]
    out = forward(rows)
    for (ids, start), expected in zip(zip(_ROWS, out.starts, strict=True), stock, strict=False):
        _compare(out.flat[start : start + len(ids)], expected, "a row in a batch")
    if is_causal:
        prompt = embedding(torch.tensor(_ROWS[0], device=stock[0].device))
        state = PromptState(kv=capture(prompt).kv)
        row = Row(_ROWS[1], [0] * len(_ROWS[1]), state, offset=len(_ROWS[0]))
        _compare(forward([row]).flat, stock[-1][len(_ROWS[0]) :], "a row after its prefix")


def _compare(seen: Tensor, expected: Tensor, what: str) -> None:
    if seen.shape != expected.shape:
        raise UnsupportedBase(f"{what} has shape {tuple(seen.shape)}, not {tuple(expected.shape)}")
    scale = expected.abs().max().clamp(min=1e-6)
    error = float((seen - expected).abs().max() / scale)
    if not error <= TOLERANCE:
        raise UnsupportedBase(f"{what} differs from the stock model by {error:.1e} of its scale")


def check_calls(modules: Sequence[nn.Module], num_layers: int) -> None:
    """Every layer must have called our attention exactly once, each from a module of its own.

    Raises:
        UnsupportedBase: it is not so.
    """
    if len(modules) != num_layers:
        raise UnsupportedBase(f"{len(modules)} attention calls were seen in {num_layers} layers")
    if len({id(m) for m in modules}) != num_layers:
        raise UnsupportedBase("layers share their attention, so there is no prefix per layer")
