"""Headers of safetensors files."""

import contextlib

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from sktuning.errors import ArtifactCorrupt
from sktuning.header import parse_header
from sktuning.served import parse_tensors, tensor_bytes

TENSORS = {"b": torch.arange(6.0).view(2, 3), "a": torch.ones(4).bfloat16(), "c": torch.zeros(0)}


def test_a_header_tells_names_shapes_and_places() -> None:
    data = tensor_bytes(TENSORS)
    entries = parse_header(data, "it")
    assert {name: e.shape for name, e in entries.items()} == {"a": (4,), "b": (2, 3), "c": (0,)}
    assert {name: e.dtype for name, e in entries.items()} == {"a": "BF16", "b": "F32", "c": "F32"}
    b = entries["b"]
    assert torch.equal(
        torch.frombuffer(bytearray(data[b.start : b.end]), dtype=torch.float32), torch.arange(6.0)
    )


def test_tensors_that_share_memory_or_are_strided_can_be_written() -> None:
    whole = torch.arange(12.0).view(3, 4)
    read = parse_tensors(tensor_bytes({"whole": whole, "part": whole.T, "row": whole[1]}), "it")
    assert torch.equal(read["part"], whole.T)
    assert torch.equal(read["row"], whole[1])


@given(st.data())
def test_a_damaged_file_is_corrupt_or_still_consistent(data: st.DataObject) -> None:
    good = tensor_bytes(TENSORS)
    damaged = bytearray(good)
    for _ in range(data.draw(st.integers(1, 3))):
        damaged[data.draw(st.integers(0, len(good) - 1))] = data.draw(st.integers(0, 255))
    damaged = damaged[: data.draw(st.integers(0, len(good)))]
    with contextlib.suppress(ArtifactCorrupt):
        entries = parse_header(bytes(damaged), "it")
        assert max(entry.end for entry in entries.values()) == len(damaged)


def test_safetensors_own_refusal_is_ours_too() -> None:
    with pytest.raises(ArtifactCorrupt, match="it: "):
        parse_tensors(b"\x00" * 4, "it")
