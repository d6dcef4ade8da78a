"""The identity of a base: a digest over what its weights are and what its tokenizer does."""

import hashlib
import json
from typing import Any

import torch
from torch import nn

_PROBE_TEXTS = (
    "The quick brown fox jumps over 13 lazy dogs.",
    "Größe, café, naïve — “quoted” … 100 €",
    "नमस्ते 世界 🙂\ttabs\nand lines",
    "don't UPPER lower_snake CamelCase e-mail@example.org",
)


def weights_digest(model: nn.Module) -> str:
    """sha-256 over the name, dtype, shape and bytes of every parameter, in the order of names."""
    digest = hashlib.sha256()
    for name, tensor in sorted(model.named_parameters()):
        digest.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}\n".encode())
        raw = tensor.detach().cpu().contiguous().view(-1).view(torch.uint8)
        digest.update(raw.numpy().data)
    return digest.hexdigest()


def tokenizer_digest(tokenizer: Any) -> str:
    """sha-256 over the vocabulary and the ids of a few fixed texts.

    It does not depend on how a version of the library writes the tokenizer down.
    """
    ids = [tokenizer.encode(text, add_special_tokens=True).ids for text in _PROBE_TEXTS]
    vocabulary = sorted(tokenizer.get_vocab(with_added_tokens=True).items())
    return hashlib.sha256(json.dumps([vocabulary, ids]).encode()).hexdigest()


def base_digest(model: nn.Module, tokenizer: Any) -> str:
    """The digest that adapters carry: ``sha256:`` and 64 hexadecimal digits."""
    both = weights_digest(model) + tokenizer_digest(tokenizer)
    return f"sha256:{hashlib.sha256(both.encode()).hexdigest()}"
