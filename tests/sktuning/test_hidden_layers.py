"""Heads with a hidden layer, which only imported adapters have: computed, written, checked."""

import json
from collections.abc import Mapping
from typing import Any

import pytest
import torch
from making import make_config
from torch import Tensor

from sktuning import served
from sktuning.adapter import Adapter
from sktuning.config import Activation, Pooling
from sktuning.errors import ArtifactCorrupt, ConfigError
from sktuning.heads import Dense, Head
from sktuning.state import PromptState

MODULES = {
    Activation.TANH: torch.nn.Tanh(),
    Activation.RELU: torch.nn.ReLU(),
    Activation.GELU: torch.nn.GELU(),
}


def make_dense(activation: Activation = Activation.TANH, width: int = 5, inputs: int = 8) -> Dense:
    torch.manual_seed(0)
    return Dense(torch.randn(width, inputs), torch.randn(width), activation)


def make_adapter(**changes: Any) -> Adapter:
    """An adapter with a hidden layer and all that goes with it."""
    config = make_config(
        head_activation=Activation.TANH,
        pooling=Pooling.FIRST,
        pools_prompt=True,
        adds_special_tokens=True,
        **changes,
    )
    state = PromptState(kv=torch.randn(2, 2, 2, 3, 4))
    return Adapter(config, state, Head(torch.randn(3, 5), torch.randn(3), make_dense()))


@pytest.mark.parametrize("activation", [*Activation])
def test_a_hidden_layer_is_what_torch_makes_of_it(activation: Activation) -> None:
    dense = make_dense(activation)
    head = Head(torch.randn(3, 5), torch.randn(3), dense)
    one, two = torch.nn.Linear(8, 5), torch.nn.Linear(5, 3)
    one.load_state_dict({"weight": dense.weight, "bias": dense.bias})
    two.load_state_dict({"weight": head.weight, "bias": head.bias})
    pooled = torch.randn(4, 8, dtype=torch.bfloat16)
    wanted = two(MODULES[activation](one(pooled.float())))
    torch.testing.assert_close(head(pooled), wanted)
    torch.testing.assert_close(head.to("cpu")(pooled), wanted)
    assert (head.num_inputs, head.num_outputs) == (8, 3)
    assert head.nbytes == 4 * (3 * 5 + 3 + 5 * 8 + 5)


def test_layers_must_fit_each_other() -> None:
    with pytest.raises(ConfigError, match="reads 6 numbers; the hidden layer before it gives 5"):
        Head(torch.ones(3, 6), torch.ones(3), make_dense())
    with pytest.raises(ConfigError, match="hidden layer: weight"):
        Dense(torch.ones(3, 6), torch.ones(4), Activation.RELU)


def test_the_configuration_knows_of_the_layer() -> None:
    adapter = make_adapter()
    with pytest.raises(ConfigError, match="followed by tanh, in the configuration by None"):
        Adapter(make_config(), adapter.state, adapter.head)
    with pytest.raises(ConfigError, match="pools_prompt is for the pooling first"):
        make_config(pools_prompt=True)


def test_it_is_written_and_read() -> None:
    adapter = make_adapter()
    config = served.config_bytes(adapter.config)
    read = served.parse_adapter(config, served.tensor_bytes(served.served_tensors(adapter)))
    assert read.config == adapter.config
    pooled = torch.randn(2, 8)
    assert torch.equal(read.head(pooled), adapter.head(pooled))


def test_adapters_without_one_are_written_as_ever() -> None:
    """Their digests are over these names."""
    written = json.loads(served.config_bytes(make_config()))
    assert written.keys() == {
        *("format", "task", "labels", "base", "method", "transform", "start", "rank", "seed"),
        *("prompt_text", "num_virtual_tokens", "text_offset", "pooling", "is_pair"),
        *("pair_template", "temperature", "thresholds", "risk_levels"),
    }


@pytest.mark.parametrize(
    ("changes", "tensors", "seen"),
    [
        ({"head_activation": None}, {}, "head_activation"),
        ({"head_activation": "sigmoid"}, {}, "sigmoid"),
        ({"pools_prompt": 1}, {}, "pools_prompt is 1"),
        ({"adds_special_tokens": "no"}, {}, "adds_special_tokens is 'no'"),
        ({}, {"head.dense.weight": None}, "not what a sk-prefix has"),
        ({}, {"head.dense.weight": torch.ones(4, 8)}, "hidden layer: weight"),
        ({}, {"head.dense.weight": torch.ones(5)}, "has the shape"),
        ({}, {"head.weight": torch.ones(3, 9)}, "the hidden layer before it gives 5"),
        ({}, {"head.dense.bias": torch.ones(5).half()}, "heads are F32"),
        ({}, {"head.dense.bias": torch.full((5,), torch.inf)}, "not finite"),
    ],
)
def test_what_does_not_fit_is_refused(
    changes: dict[str, Any], tensors: Mapping[str, Tensor | None], seen: str
) -> None:
    adapter = make_adapter()
    config = {**json.loads(served.config_bytes(adapter.config)), **changes}
    every = {**served.served_tensors(adapter), **tensors}
    model = served.tensor_bytes({name: t for name, t in every.items() if t is not None})
    with pytest.raises(ArtifactCorrupt, match=seen):
        served.parse_adapter(json.dumps(config).encode(), model)


def test_a_layer_that_the_configuration_does_not_know_is_refused() -> None:
    adapter = make_adapter()
    model = served.tensor_bytes(served.served_tensors(adapter))
    with pytest.raises(ArtifactCorrupt, match="not what a sk-prefix has"):
        served.parse_adapter(served.config_bytes(make_config()), model)
