"""Imported adapters share a batch with each other and with our own, and none notices."""

from pathlib import Path

import numpy as np
import peft_checkpoints as checkpoints
import pytest
from making import make_adapter

from sktuning.adapter import Adapter
from sktuning.classify import Classifier
from sktuning.config import Method, Pooling, TextOffset
from sktuning.data import TextInput
from sktuning.peft.adapting import load
from sktuning.tokens import EncodedRow

TEXTS = ("good", "the text is not very bad", "a great text was awful")


def imported(family: str, kind: str, folder: Path, length: int) -> Adapter:
    stock = checkpoints.stock(family)
    model = stock.tuned(kind, seed=length, length=length)
    return load(checkpoints.save(model, folder / f"{kind}-{length}"), stock.base)


@pytest.mark.parametrize("family", ["bert", "roberta", "distilbert", "llama", "bloom"])
def test_a_row_alone_equals_the_row_in_a_mixed_batch(family: str, tmp_path: Path) -> None:
    base = checkpoints.stock(family).base
    classifier = Classifier(base)
    kinds = ["prompt", "p-lstm"] if family == "distilbert" else ["prompt", "prefix", "p-lstm"]
    offset = TextOffset.AFTER_PROMPT if base.is_causal else TextOffset.SHARED
    adapters = [
        *(imported(family, kind, tmp_path, 3 + i) for i, kind in enumerate(kinds)),
        make_adapter(base, text_offset=offset),
        make_adapter(
            base, method=Method.SK_PROMPT, pooling=Pooling.FIRST, seed=1, text_offset=offset
        ),
        make_adapter(base, pooling=Pooling.LAST, seed=2, text_offset=offset),
    ]
    rows = []
    for adapter in adapters:
        for row in classifier.encoder.encode([TextInput(t) for t in TEXTS], adapter.config):
            assert isinstance(row, EncodedRow)
            rows.append((row, adapter))
    rows = rows[::2] + rows[1::2]
    for one, together in zip(rows, classifier.logits(rows), strict=True):
        alone = classifier.logits([one])[0]
        scale = np.abs(alone).max()
        assert np.abs(alone - together).max() <= 5e-6 * scale
