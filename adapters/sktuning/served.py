"""What is served, as bytes: the configuration and tensors of an artifact, written and checked."""

import hashlib
import re
from collections.abc import Callable, Mapping
from string import Formatter
from typing import Any

import safetensors.torch
import torch
from safetensors import SafetensorError
from torch import Tensor

from sktuning import document
from sktuning.adapter import Adapter
from sktuning.config import AdapterConfig, Method
from sktuning.errors import ArtifactCorrupt, ConfigError
from sktuning.header import TensorEntry, parse_header
from sktuning.heads import Dense, Head
from sktuning.manifest import CONFIG, MODEL
from sktuning.state import PromptState

FORMAT = 1  # of adapter_config.json
KV, EMBEDS, WEIGHT, BIAS = "prompt.kv", "prompt.embeds", "head.weight", "head.bias"
DENSE_WEIGHT, DENSE_BIAS = "head.dense.weight", "head.dense.bias"
_DENSE = frozenset({DENSE_WEIGHT, DENSE_BIAS})
MAX_CHARS = 4096  # of a label, a prompt text, a name
_DIGEST_SCHEME = b"sktuning adapter 1\n"
_BASE_DIGEST = re.compile(r"[!-~]{1,200}")


def config_bytes(config: AdapterConfig) -> bytes:
    """The content of ``adapter_config.json``."""
    return document.pretty({"format": FORMAT, **config.to_dict()})


def tensor_bytes(tensors: Mapping[str, Tensor]) -> bytes:
    """The content of a safetensors file; tensors may share memory or live on another device."""
    own = {
        name: tensor.detach().cpu().clone(memory_format=torch.contiguous_format)
        for name, tensor in tensors.items()
    }
    return safetensors.torch.save(own, {"format": "pt"})


def served_tensors(adapter: Adapter) -> dict[str, Tensor]:
    """The tensors of an adapter by the names that files use."""
    name = KV if adapter.state.kv is not None else EMBEDS
    head = adapter.head
    tensors = {name: adapter.state.tensor, WEIGHT: head.weight, BIAS: head.bias}
    if head.dense is None:
        return tensors
    return {**tensors, DENSE_WEIGHT: head.dense.weight, DENSE_BIAS: head.dense.bias}


def digest(config: bytes, model: bytes) -> str:
    """``sha256:…`` over the configuration's canonical JSON and each tensor's name, kind and bytes.

    Raises:
        ArtifactCorrupt: one of the two files cannot be read.
    """
    values = document.parse(config, CONFIG)
    total = hashlib.sha256(_DIGEST_SCHEME + document.canonical(values))
    for name, entry in sorted(parse_header(model, MODEL).items()):
        total.update(b"\n" + document.canonical([name, entry.dtype, entry.shape]) + b"\n")
        total.update(memoryview(model)[entry.start : entry.end])
    return f"sha256:{total.hexdigest()}"


def parse_config(data: bytes) -> AdapterConfig:
    """The configuration in the content of ``adapter_config.json``.

    Raises:
        ArtifactCorrupt: a value that is missing, unknown, of the wrong type or out of range.
    """
    values = document.parse(data, CONFIG)
    if (version := values.pop("format", None)) != FORMAT:
        raise ArtifactCorrupt(f"{CONFIG} has format {version!r:.50}; {FORMAT} is read")
    for name, is_right in _KINDS.items():
        if name in values and not is_right(values[name]):
            raise ArtifactCorrupt(f"{CONFIG}: {name} is {values[name]!r:.200}")
    try:
        return AdapterConfig.from_dict(values)
    except ConfigError as error:
        raise ArtifactCorrupt(f"{CONFIG}: {error}") from error


def parse_adapter(config: bytes, model: bytes) -> Adapter:
    """The adapter in the contents of its two files.

    Raises:
        ArtifactCorrupt: tensors other than the configuration asks for, or not finite.
    """
    parsed = parse_config(config)
    entries = parse_header(model, MODEL)
    _check_names(parsed, entries)
    _check_shapes(parsed, entries)
    tensors = parse_tensors(model, MODEL)
    for name, tensor in tensors.items():
        if not torch.isfinite(tensor).all():
            raise ArtifactCorrupt(f"{name} in {MODEL} has values that are not finite")
    try:
        state = PromptState(kv=tensors.get(KV), embeds=tensors.get(EMBEDS))
        return Adapter(parsed, state, _head(parsed, tensors))
    except ConfigError as error:
        raise ArtifactCorrupt(f"{MODEL}: {error}") from error


def _head(config: AdapterConfig, tensors: Mapping[str, Tensor]) -> Head:
    dense = None
    if config.head_activation is not None:
        weight, bias = tensors[DENSE_WEIGHT], tensors[DENSE_BIAS]
        dense = Dense(weight, bias, config.head_activation)
    return Head(tensors[WEIGHT], tensors[BIAS], dense)


def parse_tensors(data: bytes, name: str) -> dict[str, Tensor]:
    """The tensors in a safetensors file whose header has been checked.

    Raises:
        ArtifactCorrupt: safetensors refuses it all the same.
    """
    try:
        return safetensors.torch.load(data)
    except (SafetensorError, ValueError) as error:
        raise ArtifactCorrupt(f"{name}: {error}") from error


def _check_names(config: AdapterConfig, entries: Mapping[str, TensorEntry]) -> None:
    possible = {KV, EMBEDS} if config.method is Method.SK_PROMPT else {KV}
    prompts = entries.keys() & possible
    heads = {WEIGHT, BIAS, *(_DENSE if config.head_activation is not None else ())}
    if len(prompts) != 1 or entries.keys() != prompts | heads:
        names = ", ".join(sorted(entries))
        raise ArtifactCorrupt(f"{MODEL} holds {names!r:.200}, not what a {config.method} has")


def _check_shapes(config: AdapterConfig, entries: Mapping[str, TensorEntry]) -> None:
    p, c = config.num_virtual_tokens, config.num_outputs
    # None: only the base knows
    patterns: Mapping[str, tuple[int | None, ...]] = {
        KV: (None, 2, None, p, None),
        EMBEDS: (p, None),
        WEIGHT: (c, None),
        BIAS: (c,),
        DENSE_WEIGHT: (None, None),
        DENSE_BIAS: (None,),
    }
    for name, entry in entries.items():
        if not _fits(entry.shape, patterns[name]):
            raise ArtifactCorrupt(
                f"{name} has the shape {entry.shape}; {patterns[name]} is expected of "
                f"{p} virtual tokens and {c} outputs"
            )
        if name not in (KV, EMBEDS) and entry.dtype != "F32":
            raise ArtifactCorrupt(f"{name} has dtype {entry.dtype}; heads are F32")


def _fits(shape: tuple[int, ...], pattern: tuple[int | None, ...]) -> bool:
    if len(shape) != len(pattern):
        return False
    pairs = zip(shape, pattern, strict=True)
    return all(size >= 1 if want is None else size == want for size, want in pairs)


def _is_text(value: Any) -> bool:
    return isinstance(value, str) and len(value) <= MAX_CHARS


def _are_texts(value: Any) -> bool:
    return isinstance(value, list) and all(map(_is_text, value))


def _is_base(value: Any) -> bool:
    if not isinstance(value, dict) or value.keys() != {"name", "digest"}:
        return False
    return all(map(_is_text, value.values())) and bool(_BASE_DIGEST.fullmatch(value["digest"]))


def _is_count(value: Any) -> bool:
    return type(value) is int and 0 <= value < 1 << 63


def _is_number(value: Any) -> bool:
    return type(value) in (int, float)


def _is_temperature(value: Any) -> bool:
    return _is_number(value) and 1e-3 <= value <= 1e3  # beyond it logits overflow or vanish


def _are_fractions(value: Any) -> bool:
    return isinstance(value, list) and all(_is_number(one) and 0 <= one <= 1 for one in value)


def _are_risk_levels(value: Any) -> bool:
    names = {"risk", "threshold", "coverage"}
    return isinstance(value, list) and all(
        isinstance(one, dict) and one.keys() == names and _are_fractions([*one.values()])
        for one in value
    )


def _is_bool(value: Any) -> bool:
    return isinstance(value, bool)


def _is_template(value: Any) -> bool:
    """Only ``{text}`` and ``{text_pair}``: other fields reach attributes or fill the memory."""
    if not _is_text(value):
        return False
    try:
        fields = [part[1:] for part in Formatter().parse(value) if part[1] is not None]
    except ValueError:
        return False
    return not value or sorted(fields) == [("text", "", None), ("text_pair", "", None)]


_KINDS: Mapping[str, Callable[[Any], bool]] = {
    "task": _is_text,
    "labels": _are_texts,
    "base": _is_base,
    "method": _is_text,
    "transform": _is_text,
    "start": _is_text,
    "rank": _is_count,
    "prompt_text": _is_text,
    "num_virtual_tokens": _is_count,
    "text_offset": _is_text,
    "pooling": _is_text,
    "is_pair": _is_bool,
    "pair_template": _is_template,
    "seed": _is_count,
    "temperature": _is_temperature,
    "thresholds": _are_fractions,
    "risk_levels": _are_risk_levels,
    "head_activation": _is_text,
    "pools_prompt": _is_bool,
    "adds_special_tokens": _is_bool,
}
