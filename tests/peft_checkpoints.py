"""Classifiers that PEFT itself made, on tiny seeded models: what an import is compared with."""

import copy
import warnings
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import torch
import transformers
from bases import byte_tokenizer
from tiny_families import BY_NAME, Family
from tokenizers import processors
from torch import Tensor

from sktuning.base import FrozenBase
from sktuning.config import Activation
from sktuning.heads import Dense
from sktuning.loading import quiet

with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    import peft

NUM_LABELS = 3
LENGTH = 4
_CLASSES = {
    "SEQ_CLS": transformers.AutoModelForSequenceClassification,
    "TOKEN_CLS": transformers.AutoModelForTokenClassification,
}
# PEFT's prompts are as wide as the layers
_ELECTRA = Family("electra", "ElectraConfig", {**BY_NAME["bert"].options, "embedding_size": 32})
_HIDDEN = {"encoder_hidden_size": 16}
KINDS: Mapping[str, Callable[..., Any]] = {
    "prefix": peft.PrefixTuningConfig,
    "prefix-mlp": lambda **o: peft.PrefixTuningConfig(prefix_projection=True, **_HIDDEN, **o),
    "prompt": peft.PromptTuningConfig,
    "p-mlp": lambda **o: peft.PromptEncoderConfig(**_HIDDEN, **o),
    "p-lstm": lambda **o: peft.PromptEncoderConfig(
        encoder_reparameterization_type="LSTM", **_HIDDEN, **o
    ),
}


@dataclass(frozen=True, slots=True, eq=False)
class Stock:
    """A stock classifier of transformers, and the frozen base with the same weights."""

    model: Any
    tokenizer: Any
    base: FrozenBase
    task: str

    def tuned(self, kind: str, *, seed: int = 0, length: int = LENGTH) -> Any:
        """The classifier with a prompt and a head of PEFT's, both random."""
        options: dict[str, Any] = {"task_type": self.task, "num_virtual_tokens": length}
        if self.base.family == "distilbert":  # PEFT does not know what it calls them
            options |= {"token_dim": 32, "num_attention_heads": 4, "num_layers": 3}
        with _silence():
            model = peft.get_peft_model(copy.deepcopy(self.model), KINDS[kind](**options))
        torch.manual_seed(seed)
        for parameter in model.parameters():
            if parameter.requires_grad:
                torch.nn.init.normal_(parameter, std=0.5)
        return model.eval()

    def reloaded(self, folder: Path) -> Any:
        """The classifier as PEFT loads it from a checkpoint."""
        with _silence():
            return peft.PeftModel.from_pretrained(copy.deepcopy(self.model), folder).eval()

    @torch.no_grad()
    def logits(self, model: Any, text: str, pair: str | None = None) -> Tensor:
        """What PEFT answers for one text alone, (C,) or (T, C) for its own tokens."""
        inputs = self.tokenizer(text, pair, return_tensors="pt")
        with _silence():
            logits: Tensor = model(**inputs).logits[0]
        return logits if logits.dim() == 1 else logits[-inputs["input_ids"].shape[1] :]


@cache
def stock(family: str, task: str = "SEQ_CLS", num_labels: int = NUM_LABELS) -> Stock:
    """Always the same weights."""
    known = _ELECTRA if family == "electra" else BY_NAME[family]
    tokenizer = _with_bos() if family == "llama" else known.tokenizer()
    options = {"vocab_size": len(tokenizer), "pad_token_id": 0, **known.options}
    ids = {"bos_token_id": 1, "eos_token_id": 2} if known.is_causal else {}
    config = getattr(transformers, known.config)(num_labels=num_labels, **ids, **options)
    torch.manual_seed(7)
    with quiet():
        model = _CLASSES[task].from_config(config, attn_implementation="eager").float().eval()
    for parameter in model.parameters():
        if parameter.dim() > 1:
            torch.nn.init.normal_(parameter, std=0.2)
    return Stock(model, tokenizer, _base(model, tokenizer, family), task)


def save(model: Any, folder: Path) -> Path:
    """What PEFT writes."""
    with _silence():
        model.save_pretrained(folder)
    return folder


def _base(model: Any, tokenizer: Any, family: str) -> FrozenBase:
    backbone = copy.deepcopy(getattr(model, model.base_model_prefix))
    pooler = getattr(backbone, "pooler", None)
    dense = None
    if pooler is not None:
        weight, bias = pooler.dense.weight.detach(), pooler.dense.bias.detach()
        dense = Dense(weight, bias, Activation.TANH)
        backbone.pooler = None
    return FrozenBase.from_model(backbone, tokenizer, f"tiny-{family}", pooler=dense)


def _with_bos() -> Any:
    """As Llama's: every text begins with the beginning of sequence."""
    tokenizer = byte_tokenizer()
    tokenizer.backend_tokenizer.post_processor = processors.TemplateProcessing(
        single="<s> $A", pair="<s> $A <s> $B", special_tokens=[("<s>", 1)]
    )
    return tokenizer


class _silence(warnings.catch_warnings):
    """PEFT and transformers warn of much that is meant here."""

    def __enter__(self) -> None:
        super().__enter__()
        warnings.simplefilter("ignore")
