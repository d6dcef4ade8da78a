"""Means of directions, and how close a text is to them."""

import math

import pytest
import torch

from sktuning.training.prototypes import TEMPERATURE, closeness, prototypes_of


def test_a_prototype_is_the_mean_direction_of_its_labels_rows() -> None:
    features = torch.tensor([[3.0, 0.0], [0.0, 0.5], [-1.0, 0.0], [-9.0, 0.0]])
    found = prototypes_of(features, torch.tensor([0, 0, 1, 1]), 3)
    half = math.sqrt(0.5)
    assert torch.allclose(found, torch.tensor([[half, half], [-1.0, 0.0], [0.0, 0.0]]))


def test_closeness_is_the_cosine_over_the_temperature() -> None:
    prototypes = torch.tensor([[1.0, 0.0], [0.0, 1.0], [0.0, 0.0]])
    (row,) = closeness(torch.tensor([[30.0, 40.0]]), prototypes).tolist()
    assert row == pytest.approx([0.6 / TEMPERATURE, 0.8 / TEMPERATURE, 0.0])
