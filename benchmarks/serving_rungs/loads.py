"""What is served: real texts in batches of so many tokens, and which adapter each row asks for."""

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

import numpy as np

from sktuning.adapter import Adapter
from sktuning.classify import Classifier
from sktuning.data import TextInput
from sktuning.tokens import EncodedRow

DATASETS = ("sst2", "ag_news", "banking77")
COUNTS = (1, 8, 64, 256, 1000, 4000)
ZIPF = 1.1


class Pattern(StrEnum):
    """How popular adapters are."""

    ONE = "one"
    UNIFORM = "uniform"
    ZIPF = "zipf"
    DISTINCT = "distinct"  # no two rows of a batch with the same one


@dataclass(frozen=True, slots=True)
class Load:
    """A number of adapters and how they are asked for."""

    adapters: int
    pattern: Pattern

    def draw(self, rows: int, seed: int) -> Sequence[int]:
        """The number of each row's adapter."""
        draw = np.random.default_rng(seed)
        if self.pattern is Pattern.ONE:
            return [0] * rows
        if self.pattern is Pattern.DISTINCT:
            return draw.permutation(self.adapters)[:rows].tolist()  # type: ignore[no-any-return]
        weights: np.ndarray = np.ones(self.adapters)
        if self.pattern is Pattern.ZIPF:
            weights = np.arange(1, self.adapters + 1) ** -ZIPF
        found = draw.choice(self.adapters, rows, p=weights / weights.sum())
        return found.tolist()  # type: ignore[no-any-return]


def loads(counts: Sequence[int], rows: int) -> Iterator[Load]:
    """Every load that says something: patterns are one with one adapter, and distinct needs many.

    Args:
        rows: the most rows that a batch has.
    """
    yield Load(1, Pattern.ONE)
    for pattern in (Pattern.UNIFORM, Pattern.ZIPF, Pattern.DISTINCT):
        for count in counts:
            if count > 1 and (pattern is not Pattern.DISTINCT or count >= rows):
                yield Load(count, pattern)


def texts(folder: Path) -> list[str]:
    """A dataset's training texts, in an order drawn once."""
    with (folder / "train.jsonl").open(encoding="utf-8") as file:
        found = [json.loads(line)["text"] for line in file]
    return [found[i] for i in np.random.default_rng(0).permutation(len(found))]


def batches(
    classifier: Classifier, adapter: Adapter, folder: Path, tokens: int, count: int
) -> list[list[EncodedRow]]:
    """`count` batches of a dataset's training texts, of at most `tokens`.

    Raises:
        ValueError: the dataset is too small.
    """
    found: list[list[EncodedRow]] = [[]]
    room = tokens
    for text in texts(folder):
        (row,) = classifier.encoder.encode([TextInput(text)], adapter.config)
        if not isinstance(row, EncodedRow):
            continue
        if len(row) > room:
            if len(found) == count:
                return found
            found.append([])
            room = tokens
        found[-1].append(row)
        room -= len(row)
    raise ValueError(f"{folder.name} has not {count} batches of {tokens} tokens")
