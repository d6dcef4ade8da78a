"""Uploads written by a test, and how they are read."""

import json
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from skhost.errors import UploadRefused
from skhost.uploads import ReadRequest, ReadResult, read_dataset
from sktuning.data import Example


def read(
    content: bytes | str, *, held_out: bytes | str | None = None, **request: Any
) -> ReadResult:
    """Reads a file with the given content; other keywords are those of `ReadRequest`."""
    with tempfile.TemporaryDirectory() as folder:
        path = _write(Path(folder) / "upload.bin", content)
        second = None if held_out is None else _write(Path(folder) / "held_out.bin", held_out)
        return read_dataset(path, ReadRequest(**request), held_out=second)


def refused(content: bytes | str, **request: Any) -> UploadRefused:
    """The refusal of a file that must be refused; its details must be plain values."""
    with pytest.raises(UploadRefused) as caught:
        read(content, **request)
    json.dumps(caught.value.details)
    return caught.value


def errors_of(error: UploadRefused) -> list[dict[str, Any]]:
    """The listed errors of a refusal, without its warnings."""
    assert error.details is not None
    return [p for p in error.details["problems"] if p["severity"] == "error"]


def examples_of(result: ReadResult) -> list[Example]:
    """All rows of all parts."""
    return [*result.dataset.train, *result.dataset.held_out, *result.dataset.test]


def texts_of(result: ReadResult) -> set[str]:
    """All texts of all parts."""
    return {row.input.text for row in examples_of(result)}


def jsonl(rows: Sequence[object]) -> str:
    """The rows, one a line."""
    return "".join(json.dumps(row) + "\n" for row in rows)


def make_rows(count: int = 12, labels: Sequence[object] = ("good", "bad")) -> list[dict[str, Any]]:
    """Different texts with the labels in turn."""
    return [{"text": f"text {i}", "label": labels[i % len(labels)]} for i in range(count)]


def _write(path: Path, content: bytes | str) -> Path:
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return path
