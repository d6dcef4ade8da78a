"""The few facts about model families that cannot be read off the model itself."""

from typing import Any

# position of a sequence's first token; every other family starts at 0
_STARTS_AFTER_PADDING = frozenset(
    {"roberta", "xlm-roberta", "xlm-roberta-xl", "camembert", "roberta-prelayernorm"}
)
# transformers' classifiers of these read the base's own pooler, which PEFT does not store
POOLED_HEADS = frozenset({"bert"})
_LONGEST_WITHOUT_LIMIT = 2048  # families with relative positions state no limit of their own

# what stands in for a packed forward is refused here by name, with what is possible instead
REFUSED = {
    "albert": "all its layers share one set of weights, so there is no prefix per layer",
    "t5": "encoder-decoder models are not supported; use an encoder or a decoder",
    "bart": "encoder-decoder models are not supported; use an encoder or a decoder",
    "mamba": "it has no attention for a prefix to enter",
}


def position_start(config: Any) -> int:
    """The position number of a sequence's first token, as the family counts."""
    if config.model_type in _STARTS_AFTER_PADDING:
        return int(config.pad_token_id) + 1
    return 0


def max_length(config: Any) -> int:
    """The most tokens a row of this base may have, prompt included."""
    for name in ("max_position_embeddings", "n_positions", "seq_length", "max_seq_len"):
        limit = getattr(config, name, None)
        if isinstance(limit, int) and limit > 0:
            return limit - position_start(config)
    return _LONGEST_WITHOUT_LIMIT


def is_causal(model: Any) -> bool:
    """Whether tokens see only what stands before them."""
    flags = [
        bool(m.is_causal)
        for m in model.modules()
        if isinstance(getattr(m, "is_causal", None), bool)
    ]
    if flags:
        return all(flags)
    return bool(model.config.model_type in {"bloom", "gptj", "mpt"})


def is_rotary(model: Any) -> bool:
    """Whether positions are turned into keys and queries rather than added to embeddings."""
    return any("rotary" in type(module).__name__.lower() for module in model.modules())
