"""PEFT as its users have it: its own model for classification, with a head of its own."""

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from peft import (
    PeftModel,
    PeftModelForSequenceClassification,
    PeftModelForTokenClassification,
    PrefixTuningConfig,
    get_peft_model_state_dict,
)
from torch import Tensor, nn
from transformers import AutoModelForSequenceClassification, AutoModelForTokenClassification

from contest.padding import Padded
from contest.stage import Stage
from sktuning.classify import pool
from sktuning.config import Task
from sktuning.errors import UnsupportedBase
from sktuning.loading import quiet
from sktuning.tokens import EncodedRow
from sktuning.training.objective import EncodedExample, Objective

_HEADS = ("classifier", "score")  # as transformers names them


class OwnHead:
    """PREFIX_TUNING with the pooling, the dropout and the random head of the stock classes.

    Encoders only: on a causal base the stock head reads the last token by the padding's id.
    """

    is_free = False

    def __init__(self, stage: Stage) -> None:
        if stage.base.is_causal:
            raise UnsupportedBase("PEFT's own head is compared on encoders only")
        self._stage = stage
        options = PrefixTuningConfig(num_virtual_tokens=stage.config.num_virtual_tokens)
        self._model = _build(stage, options).to(stage.device)
        trained = [(n, p) for n, p in self._model.named_parameters() if p.requires_grad]
        self._own = [p for n, p in trained if not _is_head(n)]
        self._head = [p for n, p in trained if _is_head(n)]

    @property
    def own(self) -> list[nn.Parameter]:
        """The prefix."""
        return self._own

    @property
    def head(self) -> list[nn.Parameter]:
        """The stock head's last layer; PEFT leaves the pooler before it frozen."""
        return self._head

    def set_training(self, on: bool) -> None:
        """As transformers' own trainer does it: the frozen base drops out, too."""
        self._model.train(on)

    def warm_start(self, examples: Sequence[EncodedExample], objective: Objective) -> None:
        """The head stays as it is made: random."""

    def logits(self, rows: Sequence[EncodedRow], keep: Tensor | None = None) -> Tensor:
        """What the model says; dropout is its own."""
        batch = Padded.of(rows, self._stage.pad_id, self._stage.device)
        inputs = {"input_ids": batch.ids, "attention_mask": batch.mask}
        if self._stage.base.uses_token_types:
            inputs["token_type_ids"] = batch.type_ids
        with self._stage.autocast():
            logits: Tensor = self._model(**inputs).logits
        if self._stage.config.task is Task.TOKENS:  # (B, T, C): the words' first tokens
            return pool(batch.own(logits), rows, self._stage.config)
        return logits

    def penalty(self) -> Tensor:
        """None."""
        return torch.zeros((), device=self._stage.device)

    def served(self) -> Mapping[str, Tensor]:
        """As PEFT saves it."""
        state: dict[str, Tensor] = get_peft_model_state_dict(self._model)
        return state


def _build(stage: Stage, options: PrefixTuningConfig) -> PeftModel:
    is_tokens = stage.config.task is Task.TOKENS
    stock = AutoModelForTokenClassification if is_tokens else AutoModelForSequenceClassification
    wrap = PeftModelForTokenClassification if is_tokens else PeftModelForSequenceClassification
    with quiet():
        model: Any = stock.from_pretrained(
            stage.location,
            num_labels=stage.config.num_outputs,
            attn_implementation="sdpa",
            dtype=torch.float32,
        )
    return wrap(model.requires_grad_(False), options)


def _is_head(name: str) -> bool:
    return any(f".{part}." in f".{name}." for part in _HEADS)
