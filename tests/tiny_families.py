"""A tiny seeded model of every base family that is supported, three layers of width 32."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

import torch
import transformers
from bases import byte_tokenizer, tiny_model, wordpiece_tokenizer

from sktuning.base import FrozenBase

_BERT = {
    "hidden_size": 32,
    "num_hidden_layers": 3,
    "num_attention_heads": 4,
    "intermediate_size": 48,
}
_LLAMA = {**_BERT, "num_key_value_heads": 2, "max_position_embeddings": 256}
_IDS = {"pad_token_id": 0, "bos_token_id": 1, "eos_token_id": 2}


@dataclass(frozen=True, slots=True)
class Family:
    """One family as its own configuration class describes it."""

    name: str
    config: str  # class name in transformers
    options: Mapping[str, Any] = field(default_factory=dict)
    is_causal: bool = False
    path: Literal["packed", "padded"] = "packed"
    position_start: int = 0  # position number of a sequence's first token
    takes_positions: bool = True

    def tokenizer(self) -> Any:
        """A real one, of the kind that the family has."""
        tokenizer = byte_tokenizer() if self.is_causal else wordpiece_tokenizer()
        if self.name != "bert":  # only BERT reads token types
            tokenizer.model_input_names = ["input_ids", "attention_mask"]
        return tokenizer

    def model(self) -> torch.nn.Module:
        """Always the same weights."""
        kind = getattr(transformers, self.config)
        options = {"vocab_size": len(self.tokenizer()), **_IDS, **self.options}
        return tiny_model(kind(**options), seed=7)

    def base(self) -> FrozenBase:
        """The same model as a frozen base."""
        return FrozenBase.from_model(self.model(), self.tokenizer(), f"tiny-{self.name}")


def causal(name: str, config: str, **options: Any) -> Family:
    """A family that reads from left to right."""
    path: Literal["packed", "padded"] = "padded" if name in {"bloom", "falcon"} else "packed"
    takes = name != "bloom"
    return Family(name, config, options, is_causal=True, path=path, takes_positions=takes)


FAMILIES = (
    Family("bert", "BertConfig", {**_BERT, "max_position_embeddings": 128}),
    Family(
        "roberta",
        "RobertaConfig",
        {**_BERT, "max_position_embeddings": 130, "type_vocab_size": 1, "pad_token_id": 1},
        position_start=2,
    ),
    Family(
        "distilbert",
        "DistilBertConfig",
        {"dim": 32, "n_layers": 3, "n_heads": 4, "hidden_dim": 48, "max_position_embeddings": 128},
    ),
    Family(
        "modernbert",
        "ModernBertConfig",
        {
            **_BERT,
            "max_position_embeddings": 128,
            "local_attention": 8,
            "global_attn_every_n_layers": 2,
            "cls_token_id": 2,
            "sep_token_id": 3,
        },
    ),
    causal("gpt2", "GPT2Config", n_embd=32, n_layer=3, n_head=4, n_positions=256),
    causal("llama", "LlamaConfig", **_LLAMA),
    causal("mistral", "MistralConfig", **_LLAMA, sliding_window=6),
    causal("qwen2", "Qwen2Config", **_LLAMA),
    causal("phi", "PhiConfig", **{**_LLAMA, "num_key_value_heads": 4}),
    causal(
        "opt",
        "OPTConfig",
        hidden_size=32,
        num_hidden_layers=3,
        num_attention_heads=4,
        ffn_dim=48,
        max_position_embeddings=256,
        word_embed_proj_dim=32,
    ),
    causal("bloom", "BloomConfig", hidden_size=32, n_layer=3, n_head=4),
    causal(
        "falcon",
        "FalconConfig",
        hidden_size=32,
        num_hidden_layers=3,
        num_attention_heads=4,
        multi_query=True,
        new_decoder_architecture=False,
        alibi=False,
        parallel_attn=True,
        bias=False,
        max_position_embeddings=256,
    ),
)
BY_NAME: Mapping[str, Family] = {family.name: family for family in FAMILIES}
