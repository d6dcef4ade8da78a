"""Muon on stacks of matrices, and AdamW beside it."""

from typing import Any

import pytest
import torch
from torch import nn

from sktuning.training.muon import Muon, orthonormal


@pytest.mark.parametrize("shape", [(3, 2, 19, 32), (4, 40, 32), (1, 16)])
def test_every_direction_gets_about_the_same_length(shape: tuple[int, ...]) -> None:
    torch.manual_seed(0)
    matrices = torch.randn(shape) * torch.logspace(-2, 2, shape[-1])
    left, _, right = torch.linalg.svd(matrices, full_matrices=False)
    seen = left.mT @ orthonormal(matrices) @ right.mT  # in the matrices' own directions
    sizes = torch.diagonal(seen, dim1=-2, dim2=-1)
    assert torch.allclose(seen, torch.diag_embed(sizes), atol=1e-4)  # none is turned
    assert float(sizes.max()) < 1.3
    assert float(sizes.median()) > 0.6


def test_nothing_moves_along_no_gradient() -> None:
    assert not orthonormal(torch.zeros(2, 3, 4)).any()


@pytest.mark.parametrize("shape", [(6, 2, 12, 19, 32), (2, 40, 32)])
def test_a_step_is_as_long_as_the_rate_says(shape: tuple[int, ...]) -> None:
    torch.manual_seed(0)
    parameter = nn.Parameter(torch.zeros(shape))
    muon = Muon([{"params": [parameter], "lr": 0.03, "orthonormal": True}])
    parameter.grad = torch.randn(shape) * 1e-4
    muon.step()
    length = float(parameter.detach().square().mean().sqrt())
    assert length == pytest.approx(0.03, rel=0.25)


def test_other_groups_are_stepped_as_adamw_steps_them() -> None:
    def trained(optimiser: type[torch.optim.AdamW]) -> torch.Tensor:
        torch.manual_seed(0)
        free, plain = nn.Parameter(torch.randn(2, 3)), nn.Parameter(torch.randn(5))
        groups: list[dict[str, Any]] = [{"params": [free], "orthonormal": optimiser is Muon}]
        groups.append({"params": [plain]})
        steps = optimiser(groups, lr=0.01, weight_decay=0.1)
        for _ in range(3):
            loss = (plain**2).sum() + (free**2).sum()
            loss.backward()  # type: ignore[no-untyped-call]
            steps.step()
            steps.zero_grad()
        return plain.detach()

    assert torch.equal(trained(Muon), trained(torch.optim.AdamW))
