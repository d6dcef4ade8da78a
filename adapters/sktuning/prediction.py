"""Answers to texts, as plain values: encode, one forward after another, decode."""

from collections.abc import Sequence
from typing import Any

from sktuning.adapter import Adapter
from sktuning.classify import Classifier
from sktuning.data import AnyInput, TextInput
from sktuning.decode import Array, DecodeOptions, decode
from sktuning.errors import InputError
from sktuning.logits import BATCH_TOKENS, batches
from sktuning.tokens import EncodedRow


def predict(
    classifier: Classifier,
    adapter: Adapter | Sequence[Adapter],
    inputs: Sequence[AnyInput],
    options: DecodeOptions | None = None,
    *,
    batch_tokens: int = BATCH_TOKENS,
) -> list[dict[str, Any]]:
    """Classify inputs, in forwards that mix adapters as they come.

    Args:
        adapter: one for all inputs, or one an input; their tensors are moved to the base's device.
        inputs: texts, pairs or words, as `TextInput.of` takes them.
        options: how answers are to be given.
        batch_tokens: tokens a forward may have.

    Returns:
        One answer an input, in their order; see `sktuning.decode.decode`.

    Raises:
        BaseMismatch: an adapter belongs to another base.
        InputError: an input cannot be read; says which.
        ConfigError: the options do not fit an adapter.
        ValueError: the adapters are not as many as the inputs.
    """
    adapters = [adapter] * len(inputs) if isinstance(adapter, Adapter) else list(adapter)
    placed = _place(classifier, adapters)
    items = [TextInput.of(value) for value in inputs]
    pairs = [
        (_encode(classifier, item, one, number), one)
        for number, (item, one) in enumerate(zip(items, placed, strict=True))
    ]
    found: dict[int, Array] = {}
    for batch in batches([classifier.cost(row, one) for row, one in pairs], batch_tokens):
        found.update(zip(batch, classifier.logits([pairs[i] for i in batch]), strict=True))
    how = options or DecodeOptions()
    return [
        decode(one.config, row, item, found[i], how)
        for i, (item, (row, one)) in enumerate(zip(items, pairs, strict=True))
    ]


def _place(classifier: Classifier, adapters: Sequence[Adapter]) -> list[Adapter]:
    """Each adapter on the base's device, the same one once: rows of one share a head's product."""
    base = classifier.base
    placed: dict[int, Adapter] = {}
    for one in adapters:
        if id(one) not in placed:
            base.check(one.config.base)
            placed[id(one)] = one.to(base.device, base.dtype)
    return [placed[id(one)] for one in adapters]


def _encode(classifier: Classifier, item: TextInput, adapter: Adapter, number: int) -> EncodedRow:
    (row,) = classifier.encoder.encode([item], adapter.config)
    if isinstance(row, InputError):
        raise type(row)(f"input {number}: {row}") from row
    return row
