"""The upload reader: every format that it takes."""

import gzip
import io
import json
import random
import zlib
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from fuzzing.target import Mutate
from skhost.errors import UploadRefused
from skhost.uploads import ColumnChoice, ReadLimits, ReadRequest, read_dataset
from sktuning.config import Task

_GZIP, _PARQUET = b"\x1f\x8b", b"PAR1"
_MAX_INFLATED = 1 << 20
_TASKS = (None, None, None, *Task)
_CHOICES = (
    ColumnChoice(),
    ColumnChoice(text="text", label="label"),
    ColumnChoice(ignore=("id", "split")),
    ColumnChoice(text="label", label="text"),
)
_SMALL = ReadLimits(max_rows=50, max_columns=5, max_text_chars=200, max_label_chars=10)
_ODD = (
    *('"', '""', "'", ",", ";", "\t", "|", "\r", "\n", "\r\n", "\0", "\ufeff", "sep=;\n", "\\"),
    *("null", "NaN", "Infinity", "-0", "1e999", "9" * 5000, "true", "1_000", "٣", "\u2028"),
    *("{", "}", "[", "]", "[" * 2000, '{"a":' * 2000, '"\\ud800"', '{"text":1,"text":2}'),
    *("text", "label", "labels", "score", "tokens", "tags", "id", "split", "text_pair", "train"),
    *("test", "[]", '["a"]', "a|b", "O", "B-x", "\u200b", "é", "👍🏽", "\x85", "\x1c", "-----"),
)
_VALUES: tuple[Any, ...] = (
    *("good", "bad", "", "\0", "x" * 300, None, True, 0, 1, -1, 0.5, float("nan"), 1e308, 2**70),
    *([], ["a", "b"], ["O", "B-x"], [1], {"a": 1}, [[["a"]]], b"\xff", "train", "test", "\u200b"),
)
_NAMES = ("text", "label", "labels", "score", "tokens", "tags", "id", "split", "text_pair", "x")


class Uploads:
    """Files as they are uploaded; how they are asked to be read follows from their bytes."""

    def seeds(self) -> Iterable[bytes]:
        """Each format and encoding, each task, plain and gzipped."""
        for rows in _tables():
            yield from _spelled(rows)

    def mutate(self, data: bytes, rng: random.Random, mutate: Mutate) -> bytes:
        """Within the gzip stream, within the text, in Parquet's bytes, or something new."""
        if rng.random() < 0.05:
            return _random_parquet(rng)
        if data.startswith(_GZIP) and rng.random() < 0.9:
            inner = self.mutate(_inflated(data), rng, mutate)
            return gzip.compress(inner, 1, mtime=0)
        if data.startswith(_PARQUET) or rng.random() < 0.3:
            return mutate(data)
        if rng.random() < 0.03:
            return gzip.compress(data, 1, mtime=0)
        return _mutated_text(data, rng)

    def read(self, path: Path) -> bool:
        """A dataset, or `UploadRefused` with plain values."""
        choice = random.Random(zlib.crc32(path.read_bytes()))
        request = ReadRequest(
            task=choice.choice(_TASKS),
            columns=choice.choice(_CHOICES),
            on_bad_rows=choice.choice(("refuse", "skip")),
            held_out_fraction=choice.choice((None, None, 0.5)),
            limits=choice.choice((ReadLimits(), _SMALL)),
        )
        held_out = path if choice.random() < 0.1 else None
        try:
            result = read_dataset(path, request, held_out=held_out)
        except UploadRefused as error:
            json.dumps([error.message, error.details], allow_nan=False).encode()
            return False
        json.dumps(result.report.to_dict(), allow_nan=False).encode()
        assert result.report.num_used == sum(result.report.splits.values())
        assert result.dataset.train
        assert result.dataset.held_out
        return True


def _tables() -> Iterable[list[dict[str, Any]]]:
    yield [{"id": i, "text": f"text {i}", "label": "good" if i % 2 else "bad"} for i in range(12)]
    yield [{"text": f"t {i}", "text_pair": f"é\n{i}", "score": i / 7} for i in range(12)]
    yield [{"text": f"t {i}", "labels": ["a", "b"][: i % 3], "split": "train"} for i in range(12)]
    yield [{"tokens": ["Ada", f"w{i}"], "tags": ["B-p", "O"]} for i in range(12)]
    yield [{"text": f"t {i}", "label": i % 3, "split": ("train", "test")[i % 2]} for i in range(12)]


def _spelled(rows: list[dict[str, Any]]) -> Iterable[bytes]:
    lines = "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows)
    texts = [lines, json.dumps(rows, indent=1), *(_delimited(rows, mark) for mark in ",\t;|")]
    yield from (text.encode() for text in texts)
    yield from (text.encode("utf-16") for text in texts[:3])
    yield texts[2].encode("utf-8-sig").replace(b"\n", b"\r\n")
    tables = [_parquet(pa.Table.from_pylist(rows), compression) for compression in ("none", "zstd")]
    yield from tables
    yield from (gzip.compress(data, 9, mtime=0) for data in (texts[0].encode(), tables[0]))


def _delimited(rows: list[dict[str, Any]], mark: str) -> str:
    def cell(value: Any) -> str:
        text = value if isinstance(value, str) else json.dumps(value)
        return '"' + text.replace('"', '""') + '"'

    head = mark.join(rows[0])
    return "\n".join([head, *(mark.join(map(cell, row.values())) for row in rows)]) + "\n"


def _parquet(table: pa.Table, compression: str) -> bytes:
    out = io.BytesIO()
    pq.write_table(table, out, compression=compression)
    return out.getvalue()


def _random_parquet(rng: random.Random) -> bytes:
    """Columns of any type: those that fit no rows, and values a million times, too."""
    names = rng.sample(_NAMES, rng.randint(1, 5))
    count = rng.choice((0, 1, 2, 12, 60, 600, 20_000))
    columns = {}
    for name in names:
        values = [rng.choice(_VALUES)] * count
        if rng.random() < 0.7:
            kinds = [value for value in _VALUES if type(value) is type(values[0])] if count else []
            values = [rng.choice(kinds) for _ in values]
        try:
            columns[name] = pa.array(values)
        except (pa.ArrowException, OverflowError, TypeError):
            columns[name] = pa.array([f"text {i}" for i in range(count)])
        if rng.random() < 0.2 and pa.types.is_string(columns[name].type):
            columns[name] = columns[name].dictionary_encode()
    try:
        return _parquet(pa.table(columns), rng.choice(("none", "snappy", "gzip", "zstd")))
    except pa.ArrowException:
        return _PARQUET


def _inflated(data: bytes) -> bytes:
    try:
        return zlib.decompressobj(wbits=16 + zlib.MAX_WBITS).decompress(data, _MAX_INFLATED)
    except zlib.error:
        return data


def _mutated_text(data: bytes, rng: random.Random) -> bytes:
    codec = "utf-16" if data.startswith((b"\xff\xfe", b"\xfe\xff")) else "utf-8"
    text = data.decode(codec, errors="surrogateescape" if codec == "utf-8" else "replace")
    for _ in range(rng.randint(1, 3)):
        text = rng.choice((_put, _put, _replaced, _lines, _cut))(text, rng)
    if rng.random() < 0.02:
        codec = rng.choice(("utf-16", "utf-32", "utf-16-le", "cp1252", "utf-8-sig"))
    errors = "surrogateescape" if codec == "utf-8" else "replace"
    return text.encode(codec, errors=errors)


def _put(text: str, rng: random.Random) -> str:
    at = rng.randint(0, len(text))
    return text[:at] + rng.choice(_ODD) + text[at + rng.choice((0, 0, 1, 5)) :]


def _replaced(text: str, rng: random.Random) -> str:
    value = json.dumps(rng.choice([v for v in _VALUES if not isinstance(v, bytes)]))
    parts = text.split('"')
    parts[rng.randrange(len(parts))] = value
    return '"'.join(parts)


def _lines(text: str, rng: random.Random) -> str:
    lines = text.splitlines(keepends=True) or [""]
    at, other = rng.randrange(len(lines)), rng.randrange(len(lines))
    kind = rng.randrange(4)
    if kind == 0:
        lines[at:at] = [lines[other]] * rng.choice((1, 1, 3, 60))
    elif kind == 1:
        del lines[at]
    elif kind == 2:
        lines[at], lines[other] = lines[other], lines[at]
    else:
        lines[at] = lines[at][: rng.randint(0, len(lines[at]))] + lines[other]
    return "".join(lines)


def _cut(text: str, rng: random.Random) -> str:
    at = rng.randint(0, len(text))
    return text[:at] + text[at + rng.choice((1, 3, 30, 3000)) :]
