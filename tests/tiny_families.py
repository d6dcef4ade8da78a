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
_ROBERTA = {**_BERT, "max_position_embeddings": 130, "type_vocab_size": 1, "pad_token_id": 1}
_LLAMA = {**_BERT, "num_key_value_heads": 2, "max_position_embeddings": 256}
_IDS = {"pad_token_id": 0, "bos_token_id": 1, "eos_token_id": 2}
_PADDED = frozenset({"bloom", "falcon", "gpt_neo", "gptj", "mpt", "stablelm"})
_WITHOUT_POSITIONS = frozenset({"bloom", "mpt"})


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
    uses_types: bool = False  # of the encoders here, only BERT's kind reads token types

    def tokenizer(self) -> Any:
        """A real one, of the kind that the family has."""
        tokenizer = byte_tokenizer() if self.is_causal else wordpiece_tokenizer()
        if not self.uses_types:
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
    path: Literal["packed", "padded"] = "padded" if name in _PADDED else "packed"
    takes = name not in _WITHOUT_POSITIONS
    return Family(name, config, options, is_causal=True, path=path, takes_positions=takes)


FAMILIES = (
    Family("bert", "BertConfig", {**_BERT, "max_position_embeddings": 128}, uses_types=True),
    Family("roberta", "RobertaConfig", _ROBERTA, position_start=2),
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
# the rest of what works: one row each of `conformance`, not every case of the contract
MORE = (
    Family("xlm-roberta", "XLMRobertaConfig", _ROBERTA, position_start=2),
    Family("camembert", "CamembertConfig", _ROBERTA, position_start=2),
    Family(
        "electra",
        "ElectraConfig",
        {**_BERT, "embedding_size": 16, "max_position_embeddings": 128},
        uses_types=True,
    ),
    Family("ernie", "ErnieConfig", {**_BERT, "max_position_embeddings": 128}, uses_types=True),
    Family("eurobert", "EuroBertConfig", {**_LLAMA, "mask_token_id": 4}),
    causal("gpt_neox", "GPTNeoXConfig", **{**_BERT, "max_position_embeddings": 256}),
    causal("gpt_bigcode", "GPTBigCodeConfig", n_embd=32, n_layer=3, n_head=4, n_positions=256),
    causal("biogpt", "BioGptConfig", **{**_BERT, "max_position_embeddings": 256}),
    causal("qwen3", "Qwen3Config", **_LLAMA, head_dim=16),
    causal("gemma", "GemmaConfig", **_LLAMA, head_dim=8),
    causal(
        "gemma2",
        "Gemma2Config",
        **_LLAMA,
        head_dim=8,
        sliding_window=6,
        attn_logit_softcapping=2.0,  # low enough to matter at this size
    ),
    causal("gemma3_text", "Gemma3TextConfig", **_LLAMA, head_dim=8, sliding_window=6),
    causal("phi3", "Phi3Config", **{**_LLAMA, "num_key_value_heads": 4}),
    causal("smollm3", "SmolLM3Config", **_LLAMA),
    causal("olmo2", "Olmo2Config", **_LLAMA),
    causal("granite", "GraniteConfig", **_LLAMA),
    causal("cohere", "CohereConfig", **_LLAMA),
    causal("starcoder2", "Starcoder2Config", **_LLAMA, sliding_window=None),
    causal(
        "gpt_neo",
        "GPTNeoConfig",
        hidden_size=32,
        num_layers=2,
        num_heads=4,
        attention_types=[[["global", "local"], 1]],
        max_position_embeddings=256,
        window_size=6,
    ),
    causal("gptj", "GPTJConfig", n_embd=32, n_layer=3, n_head=4, n_positions=256, rotary_dim=4),
    causal("mpt", "MptConfig", d_model=32, n_layers=3, n_heads=4, max_seq_len=256),
    causal("stablelm", "StableLmConfig", **{**_LLAMA, "num_key_value_heads": 4}),
)
EVERY = FAMILIES + MORE
# what is refused, each for a reason of its own
REFUSED = (
    Family("albert", "AlbertConfig", {**_BERT, "embedding_size": 16}),
    Family(
        "t5", "T5Config", {"d_model": 32, "d_kv": 8, "d_ff": 48, "num_layers": 2, "num_heads": 4}
    ),
    Family(
        "bart",
        "BartConfig",
        {
            "d_model": 32,
            "encoder_layers": 2,
            "decoder_layers": 2,
            "encoder_ffn_dim": 48,
            "decoder_ffn_dim": 48,
            "encoder_attention_heads": 4,
            "decoder_attention_heads": 4,
            "max_position_embeddings": 128,
        },
    ),
    Family("mamba", "MambaConfig", {"hidden_size": 32, "num_hidden_layers": 2}, is_causal=True),
    Family("deberta-v2", "DebertaV2Config", {**_BERT, "max_position_embeddings": 128}),
    Family("mpnet", "MPNetConfig", _ROBERTA),
    Family(
        "lfm2",
        "Lfm2Config",
        {**_LLAMA, "layer_types": ["conv", "full_attention", "conv"]},
        is_causal=True,
    ),
)
BY_NAME: Mapping[str, Family] = {family.name: family for family in EVERY}
