"""The head that training starts from: fitted, and held as firmly as the rows ask for."""

import pytest
import torch
from torch.nn.functional import cross_entropy

from sktuning.training.warmstart import STRENGTHS, fit_head


def rows(count: int, *, noise: float) -> tuple[torch.Tensor, torch.Tensor]:
    """Features of which one in 64 says something, and labels."""
    generator = torch.Generator().manual_seed(0)
    features = torch.randn(count, 64, generator=generator) * 3 + 1
    clean = features[:, 0] - 1 + noise * torch.randn(count, generator=generator)
    return features, (clean > 0).long()


def test_a_fitted_head_separates_what_can_be_separated() -> None:
    features, labels = rows(400, noise=0.0)
    fitted = fit_head(features, labels, cross_entropy, 2)
    assert float((fitted.head(features).argmax(1) == labels).float().mean()) > 0.95


def test_few_noisy_rows_are_held_firmer_than_many_clear_ones() -> None:
    few = fit_head(*rows(60, noise=6.0), cross_entropy, 2)
    many = fit_head(*rows(2000, noise=0.0), cross_entropy, 2)
    assert few.l2 > many.l2


def test_the_chosen_strength_is_better_on_new_rows_than_none() -> None:
    features, labels = rows(1000, noise=3.0)
    train, new = (features[:100], labels[:100]), (features[100:], labels[100:])
    chosen = fit_head(*train, cross_entropy, 2)
    loose = fit_head(*train, cross_entropy, 2, strengths=(STRENGTHS[-1],))
    assert cross_entropy(chosen.head(new[0]), new[1]) < cross_entropy(loose.head(new[0]), new[1])


@pytest.mark.parametrize("count", [2, 9])
def test_a_handful_of_rows_is_fitted_without_a_choice(count: int) -> None:
    features, labels = rows(count, noise=0.0)
    assert fit_head(features, labels, cross_entropy, 2).l2 == STRENGTHS[0]
