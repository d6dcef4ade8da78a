"""What is exported is loaded by PEFT, which then answers as we do; the rest is refused."""

from dataclasses import replace
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import peft_checkpoints as checkpoints
import pytest
import torch
from making import make_adapter

from sktuning import peft
from sktuning.adapter import Adapter
from sktuning.classify import Classifier
from sktuning.config import Activation, Method, Pooling, Task, TextOffset
from sktuning.data import TextInput
from sktuning.errors import BaseMismatch, PeftRefused
from sktuning.heads import Dense, Head
from sktuning.peft.exporting import files
from sktuning.tokens import EncodedRow

TEXTS = ("good", "the text is not very bad")
TOLERANCE = 1e-4
AFTER = TextOffset.AFTER_PROMPT


def check_same(stock: checkpoints.Stock, adapter: Adapter, folder: Path) -> None:
    """PEFT's logits of what it loads from `folder` are those of `adapter`."""
    model = stock.reloaded(folder)
    classifier = Classifier(stock.base)
    for text in TEXTS:
        row = classifier.encoder.encode([TextInput(text)], adapter.config)[0]
        assert isinstance(row, EncodedRow)
        seen = classifier.logits([(row, adapter)])[0]
        wanted = stock.logits(model, text)
        if row.word_index is not None:
            wanted = wanted[list(row.word_index)]
        assert np.abs(seen - wanted.numpy()).max() <= TOLERANCE * wanted.abs().max()


@pytest.mark.parametrize("task", ["SEQ_CLS", "TOKEN_CLS"])
@pytest.mark.parametrize(
    ("family", "kind"),
    [
        *product(("bert", "roberta", "electra", "gpt2", "llama"), ("prefix", "prompt")),
        ("falcon", "prompt"),
        ("distilbert", "prompt"),
    ],
)
def test_an_import_goes_back(family: str, kind: str, task: str, tmp_path: Path) -> None:
    stock = checkpoints.stock(family, task)
    folder = checkpoints.save(stock.tuned(kind), tmp_path / "there")
    adapter = peft.load(folder, stock.base)
    peft.export(tmp_path / "back", adapter, stock.base)
    check_same(stock, adapter, tmp_path / "back")


@pytest.mark.parametrize(
    ("family", "method"),
    [
        ("bert", Method.SK_PREFIX),
        ("bert", Method.SK_PROMPT),
        ("gpt2", Method.SK_PREFIX),
        ("gpt2", Method.SK_PROMPT),
    ],
)
def test_a_trained_token_classifier_goes_to_peft(
    family: str, method: Method, tmp_path: Path
) -> None:
    stock = checkpoints.stock(family, "TOKEN_CLS")
    adapter = make_adapter(stock.base, Task.TOKENS, method=method, text_offset=AFTER)
    peft.export(tmp_path, adapter, stock.base)
    check_same(stock, adapter, tmp_path)


def test_the_readme_has_what_peft_has_no_field_for(tmp_path: Path) -> None:
    stock = checkpoints.stock("gpt2", "TOKEN_CLS")
    adapter = make_adapter(stock.base, Task.TOKENS, text_offset=AFTER)
    readme = files(adapter, stock.base)["README.md"].decode()
    assert "num_labels=3" in readme
    assert r"0. B\-thing" in readme
    assert "add_special_tokens=False" in readme


def refusal(adapter: Adapter, family: str) -> str:
    with pytest.raises(PeftRefused) as refused:
        files(adapter, checkpoints.stock(family).base)
    return str(refused.value)


def sequence_adapter(family: str, **changes: Any) -> Adapter:
    return make_adapter(checkpoints.stock(family).base, **{"text_offset": AFTER, **changes})


def test_texts_beside_the_prompt_are_refused() -> None:
    assert "position 0" in refusal(sequence_adapter("bert", text_offset=TextOffset.SHARED), "bert")


def test_another_pooling_is_refused() -> None:
    assert "reads the mean; PEFT's reads the first" in refusal(sequence_adapter("bert"), "bert")
    own = sequence_adapter("bert", method=Method.SK_PROMPT, pooling=Pooling.FIRST)
    assert "first of the text's own tokens" in refusal(own, "bert")


def test_heads_that_peft_has_no_place_for_are_refused() -> None:
    first, last = {"pooling": Pooling.FIRST}, {"pooling": Pooling.LAST}
    assert "reads the base's pooler" in refusal(sequence_adapter("bert", **first), "bert")
    assert "followed by tanh; this one has no" in refusal(
        sequence_adapter("roberta", **first), "roberta"
    )
    assert "without a bias" in refusal(sequence_adapter("gpt2", **last), "gpt2")


def test_a_hidden_layer_that_is_not_the_pooler_is_refused() -> None:
    plain = sequence_adapter("bert", pooling=Pooling.FIRST)
    dense = Dense(torch.eye(32), torch.zeros(32), Activation.TANH)
    config = replace(plain.config, head_activation=Activation.TANH)
    adapter = replace(plain, config=config, head=Head(plain.head.weight, plain.head.bias, dense))
    assert "reads the base's pooler" in refusal(adapter, "bert")


def test_what_peft_has_no_prefix_for_is_refused() -> None:
    dense = Dense(torch.eye(32), torch.zeros(32), Activation.RELU)
    plain = sequence_adapter("distilbert", pooling=Pooling.FIRST)
    config = replace(plain.config, head_activation=Activation.RELU)
    adapter = replace(plain, config=config, head=Head(plain.head.weight, plain.head.bias, dense))
    assert "no PREFIX_TUNING on distilbert" in refusal(adapter, "distilbert")
    assert "how a modernbert classifier" in refusal(sequence_adapter("modernbert"), "modernbert")


def test_an_adapter_of_another_base_is_refused() -> None:
    with pytest.raises(BaseMismatch):
        files(sequence_adapter("gpt2"), checkpoints.stock("bert").base)
