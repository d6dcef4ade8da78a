"""The header of a safetensors file: read and checked before any tensor is made."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from sktuning import document
from sktuning.errors import ArtifactCorrupt

ITEM_BYTES: Mapping[str, int] = {"F32": 4, "F16": 2, "BF16": 2}
DTYPE_NAMES: Mapping[str, str] = {"F32": "float32", "F16": "float16", "BF16": "bfloat16"}
MAX_HEADER_BYTES = 1 << 20
MAX_TENSORS = 4096
MAX_DIMS = 8
_LENGTH_BYTES = 8  # little-endian, before the header


@dataclass(frozen=True, slots=True)
class TensorEntry:
    """One tensor as the header describes it; `start` and `end` count from the file's first byte."""

    dtype: str
    shape: tuple[int, ...]
    start: int
    end: int


def parse_header(data: bytes, name: str) -> dict[str, TensorEntry]:
    """The tensors that the safetensors file `data` says it holds, in the order of their bytes.

    Raises:
        ArtifactCorrupt: a header that is oversized, malformed, or not true of the file: every byte
            must belong to exactly one tensor of a floating-point dtype that we serve.
    """
    body = _body_start(data, name)
    values = document.parse(data[_LENGTH_BYTES:body], f"the header of {name}")
    values.pop("__metadata__", None)
    if len(values) > MAX_TENSORS:
        raise ArtifactCorrupt(f"{name} holds {len(values)} tensors; at most {MAX_TENSORS}")
    entries = {key: _entry(value, f"{key!r} in {name}", body) for key, value in values.items()}
    entries = dict(sorted(entries.items(), key=lambda item: (item[1].start, item[1].end)))
    _check_gapless(entries, body, len(data), name)
    return entries


def _body_start(data: bytes, name: str) -> int:
    length = int.from_bytes(data[:_LENGTH_BYTES], "little")
    if length > MAX_HEADER_BYTES:
        raise ArtifactCorrupt(
            f"the header of {name} claims {length} bytes; at most {MAX_HEADER_BYTES}"
        )
    if len(data) < _LENGTH_BYTES + length:
        raise ArtifactCorrupt(f"{name} ends within its header: {len(data)} bytes")
    return _LENGTH_BYTES + length


def _entry(value: Any, name: str, body: int) -> TensorEntry:
    if not isinstance(value, dict) or value.keys() != {"dtype", "shape", "data_offsets"}:
        raise ArtifactCorrupt(f"{name}: dtype, shape and data_offsets expected, got {value!r:.200}")
    dtype, shape, offsets = value["dtype"], value["shape"], value["data_offsets"]
    if not isinstance(dtype, str) or dtype not in ITEM_BYTES:
        raise ArtifactCorrupt(f"{name} has dtype {dtype!r:.50}; one of {', '.join(ITEM_BYTES)}")
    if not _are_counts(shape) or len(shape) > MAX_DIMS:
        raise ArtifactCorrupt(f"{name} has the shape {shape!r:.100}")
    if not _are_counts(offsets) or len(offsets) != 2:
        raise ArtifactCorrupt(f"{name} has the offsets {offsets!r:.100}")
    if offsets[1] - offsets[0] != math.prod(shape) * ITEM_BYTES[dtype]:
        raise ArtifactCorrupt(f"{name}: {shape} of {dtype} does not fill its offsets {offsets}")
    return TensorEntry(dtype, tuple(shape), body + offsets[0], body + offsets[1])


def _are_counts(values: Any) -> bool:
    return isinstance(values, list) and all(type(v) is int and 0 <= v < 1 << 40 for v in values)


def _check_gapless(
    entries: Mapping[str, TensorEntry], body: int, file_bytes: int, name: str
) -> None:
    position = body
    for entry in entries.values():
        if entry.start != position:
            raise ArtifactCorrupt(f"the tensors of {name} overlap or leave a gap at {position}")
        position = entry.end
    if position != file_bytes:
        raise ArtifactCorrupt(f"{name} has {file_bytes} bytes; its tensors end at {position}")
