"""Golden rows: a few inputs with the logits they got when the adapter was made."""

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Self, TypeGuard, TypeVar

import numpy as np
import torch
from numpy.typing import NDArray

from sktuning import document
from sktuning.adapter import Adapter
from sktuning.classify import Classifier
from sktuning.config import AdapterConfig, Task
from sktuning.data import Example, Target, TextInput
from sktuning.decode import Array, decide, probabilities, thresholds
from sktuning.errors import ArtifactCorrupt, DataError, InputError, SelfTestFailed
from sktuning.logits import logits_of
from sktuning.tokens import EncodedRow

FORMAT = 1
NUM_ROWS = 6
MAX_ROWS = 64
MAX_CHARS = 400  # of a golden input: long rows say no more and cost more
# Largest error allowed, over the largest logit: what the dtype's rounding adds up to, with room.
TOLERANCE: Mapping[str, float] = {"float32": 1e-4, "float16": 5e-2, "bfloat16": 2e-1}
# The same where one process answers the same rows again: only the order of sums differs.
REPEATED: Mapping[str, float] = {"float32": 1e-4, "float16": 5e-3, "bfloat16": 2e-2}
_MIN_SCALE = 0.1  # logits that are all smaller tell classes apart by less than rounding matters
_TIE = 0.25  # of the tolerance: decisions closer than this may fall either way
_POOL = 4  # candidates for each row wanted
_T = TypeVar("_T")


@dataclass(frozen=True, slots=True, eq=False)
class GoldenRow:
    """One input, what it was answered, and the float32 logits, (C,) or (words, C)."""

    input: TextInput
    answer: Target
    logits: Array


@dataclass(frozen=True, slots=True)
class Golden:
    """The rows, and the dtype that the base had when they were recorded."""

    dtype: str
    rows: tuple[GoldenRow, ...]

    def to_bytes(self) -> bytes:
        """The content of ``golden.json``."""
        rows = [
            {"input": r.input.to_dict(), "answer": r.answer, "logits": r.logits.tolist()}
            for r in self.rows
        ]
        return document.canonical({"format": FORMAT, "dtype": self.dtype, "rows": rows}) + b"\n"

    @classmethod
    def parse(cls, data: bytes, config: AdapterConfig, name: str) -> Self:
        """The reverse of `to_bytes`, for content that nobody vouches for.

        Raises:
            ArtifactCorrupt: it is not what an adapter of this configuration would have recorded.
        """
        values = document.parse(data, name)
        rows, dtype = values.get("rows"), values.get("dtype")
        if values.get("format") != FORMAT or not isinstance(dtype, str) or dtype not in TOLERANCE:
            raise ArtifactCorrupt(f"{name}: format {FORMAT} and a known dtype expected")
        if not isinstance(rows, list) or not 1 <= len(rows) <= MAX_ROWS:
            raise ArtifactCorrupt(f"{name}: between 1 and {MAX_ROWS} rows expected")
        return cls(
            dtype, tuple(_parse_row(r, config, f"{name}, row {i}") for i, r in enumerate(rows))
        )


def record(
    classifier: Classifier, adapter: Adapter, examples: Sequence[Example], count: int = NUM_ROWS
) -> Golden:
    """Run a few short examples and keep the most decided ones, spread over the answers.

    Raises:
        DataError: no example can be read whole.
    """
    short = [e for e in examples if e.input.num_chars <= MAX_CHARS]
    short = short or sorted(examples, key=lambda e: e.input.num_chars)[:count]
    candidates = [e.input for e in _in_turns(short, lambda e: e.target)[: count * _POOL]]
    encoded = classifier.encoder.encode(candidates, adapter.config)
    rows = [(item, row) for item, row in zip(candidates, encoded, strict=True) if _is_whole(row)]
    if not rows:
        raise DataError("no row can be read whole, so none can be recorded to test the adapter by")
    answers = logits_of(classifier, adapter, [row for _, row in rows])
    found = [
        GoldenRow(item, decide(adapter.config, logits), logits)
        for (item, _), logits in zip(rows, answers, strict=True)
        if logits.size and np.isfinite(logits).all()  # a word without a token has none
    ]
    if not found:
        raise DataError(
            "no row got a finite answer, so none can be recorded to test the adapter by"
        )
    found.sort(key=lambda row: -_decidedness(adapter.config, row.logits))
    kept = _in_turns(found, lambda row: row.answer)[:count]
    return Golden(dtype_name(classifier.base.dtype), tuple(kept))


def check(golden: Golden, adapter: Adapter, classifier: Classifier) -> None:
    """Answer the golden rows again and compare.

    Raises:
        SelfTestFailed: a row got another answer, or logits further off than the dtype explains.
        BaseMismatch: the adapter belongs to another base.
    """
    dtypes = (golden.dtype, dtype_name(classifier.base.dtype))
    replay(golden, adapter, classifier, max(TOLERANCE[dtype] for dtype in dtypes))


def replay(golden: Golden, adapter: Adapter, classifier: Classifier, tolerance: float) -> Golden:
    """The golden rows with the logits that they get now, known to be near those that they had.

    Raises:
        As `check`.
    """
    classifier.base.check(adapter.config.base)
    encoded = classifier.encoder.encode([row.input for row in golden.rows], adapter.config)
    rows = [row for row in encoded if isinstance(row, EncodedRow)]
    if len(rows) != len(encoded):
        raise SelfTestFailed(f"a golden input can no longer be read: {_first_error(encoded)}")
    try:
        answers = logits_of(classifier, adapter, rows)
    except (RuntimeError, ValueError, IndexError) as error:  # shapes that this base does not have
        raise SelfTestFailed(f"the base cannot run this adapter: {error}") from error
    seen_dtype = dtype_name(classifier.base.dtype)
    for number, (row, seen) in enumerate(zip(golden.rows, answers, strict=True)):
        try:
            _compare(adapter.config, row, seen, tolerance)
        except SelfTestFailed as error:
            raise SelfTestFailed(f"golden row {number}, in {seen_dtype}: {error}") from error
    pairs = zip(golden.rows, answers, strict=True)
    return Golden(seen_dtype, tuple(replace(row, logits=seen) for row, seen in pairs))


def dtype_name(dtype: torch.dtype) -> str:
    """``torch.float32`` as "float32"."""
    return str(dtype).removeprefix("torch.")


def _compare(config: AdapterConfig, row: GoldenRow, seen: Array, tolerance: float) -> None:
    if seen.shape != row.logits.shape:
        raise SelfTestFailed(f"logits of shape {row.logits.shape} expected, got {seen.shape}")
    if not np.isfinite(seen).all():
        raise SelfTestFailed("the logits are not finite")
    scale = max(float(np.abs(row.logits).max(initial=0)), _MIN_SCALE)
    error = float(np.abs(seen - row.logits).max(initial=0)) / scale
    differs = _decisions(config, seen) != _decisions(config, row.logits)
    clear = _margins(config, row.logits) > tolerance * scale * _TIE
    if (differs & clear).any():
        raise SelfTestFailed(f"{row.answer!r:.200} expected, got {decide(config, seen)!r:.200}")
    if error > tolerance:
        raise SelfTestFailed(f"the logits are off by {error:.1e} of their scale; {tolerance:.0e}")


def _decisions(config: AdapterConfig, logits: Array) -> NDArray[np.int64]:
    """What each label or each word was decided to be, as numbers."""
    if config.task is Task.REGRESSION:
        return np.zeros(1, dtype=np.int64)
    if config.task is Task.MULTI_LABEL:
        return (probabilities(config, logits) >= thresholds(config)).astype(np.int64)
    return np.asarray(np.atleast_2d(logits).argmax(axis=-1))


def _margins(config: AdapterConfig, logits: Array) -> NDArray[np.float64]:
    """How far, in logits, each of those decisions is from being another."""
    if config.task is Task.REGRESSION:
        return np.ones(1)
    if config.task is Task.MULTI_LABEL:
        needed = np.clip(thresholds(config), 1e-6, 1 - 1e-6)
        return np.abs(logits - config.temperature * np.log(needed / (1 - needed)))
    best = np.sort(np.atleast_2d(logits).astype(np.float64), axis=-1)
    return np.asarray(best[:, -1] - best[:, -2])


def _decidedness(config: AdapterConfig, logits: Array) -> float:
    return float(_margins(config, logits).min(initial=np.inf))


def _in_turns(items: Sequence[_T], key: Callable[[_T], Target]) -> list[_T]:
    """The first of every key, then the second of every key, and so on."""
    turns: Counter[Target] = Counter()
    keyed = []
    for item in items:
        keyed.append((turns[key(item)], item))
        turns[key(item)] += 1
    return [item for _, item in sorted(keyed, key=lambda pair: pair[0])]


def _is_whole(row: EncodedRow | InputError) -> TypeGuard[EncodedRow]:
    return isinstance(row, EncodedRow) and not row.num_dropped


def _first_error(encoded: Sequence[EncodedRow | InputError]) -> InputError:
    return next(row for row in encoded if isinstance(row, InputError))


def _parse_row(value: Any, config: AdapterConfig, name: str) -> GoldenRow:
    if not isinstance(value, dict) or value.keys() != {"input", "answer", "logits"}:
        raise ArtifactCorrupt(f"{name}: input, answer and logits expected")
    logits = _parse_logits(value["logits"], config, name)
    return GoldenRow(_parse_input(value["input"], name), decide(config, logits), logits)


def _parse_input(value: Any, name: str) -> TextInput:
    if not isinstance(value, dict) or not value.keys() <= {"text", "text_pair", "tokens"}:
        raise ArtifactCorrupt(f"{name}: text, text_pair or tokens expected")
    tokens = value.pop("tokens", None)
    words = tokens if isinstance(tokens, list) else []
    if (tokens is not None and not words) or not _are_strings([*words, *value.values()]):
        raise ArtifactCorrupt(f"{name}: the input is not text")
    return TextInput(**value, tokens=None if tokens is None else tuple(words))


def _are_strings(values: Sequence[Any]) -> bool:
    return all(isinstance(value, str) for value in values)


def _parse_logits(value: Any, config: AdapterConfig, name: str) -> Array:
    dims = 2 if config.task is Task.TOKENS else 1
    try:
        logits = np.array(value, dtype=np.float64)
    except (TypeError, ValueError, OverflowError) as error:
        raise ArtifactCorrupt(f"{name}: the logits are not an array: {error}") from error
    if logits.ndim != dims or logits.shape[-1] != config.num_outputs:
        raise ArtifactCorrupt(
            f"{name}: logits of shape {logits.shape}, {config.num_outputs} outputs"
        )
    if not (np.abs(logits) < np.finfo(np.float32).max).all():
        raise ArtifactCorrupt(f"{name}: the logits are too large")
    return logits.astype(np.float32)
