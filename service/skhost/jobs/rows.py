"""Which inputs a version was trained on, as hashes: enough to tell seen rows from unseen ones.

Kept in the store beside the job and never in the artifact: a hash of a text that can be guessed
tells whether that text was trained on, and artifacts are handed around.
"""

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final, Self

import numpy as np
from numpy.typing import NDArray

from sktuning.data import Example, TextInput

MAX_HASHES: Final = 1 << 20  # 8 MiB; of more rows, those with the smallest hashes are kept


@dataclass(frozen=True, slots=True, eq=False)
class RowSet:
    """Inputs by 64-bit hash, sorted, each once.

    A full set knows only hashes up to its largest; whatever lies above counts as seen.
    """

    hashes: NDArray[np.uint64]  # (rows,)

    @classmethod
    def of(cls, examples: Iterable[Example], *, limit: int = MAX_HASHES) -> Self:
        """The inputs of `examples`."""
        found = np.fromiter((_hash(e.input) for e in examples), dtype=np.uint64)
        return cls(np.unique(found)[:limit])

    def may_hold(self, example: Example, *, limit: int = MAX_HASHES) -> bool:
        """Whether the example's input is in the set, or could be."""
        value = np.uint64(_hash(example.input))
        at = int(np.searchsorted(self.hashes, value))
        if at == len(self.hashes):
            return len(self.hashes) >= limit
        return bool(self.hashes[at] == value)

    def to_bytes(self) -> bytes:
        """Little-endian 64-bit numbers, nothing else."""
        return self.hashes.astype("<u8").tobytes()

    @classmethod
    def from_bytes(cls, data: bytes) -> Self:
        """The reverse of `to_bytes`.

        Raises:
            ValueError: not a whole number of hashes.
        """
        return cls(np.frombuffer(data, dtype="<u8").astype(np.uint64))


def _hash(item: TextInput) -> int:
    """Texts that differ in case or white space only are one row."""
    parts = item.tokens if item.tokens is not None else (item.text, item.text_pair or "")
    plain = "\x1f".join(" ".join(part.split()).casefold() for part in parts)
    digest = hashlib.blake2b(plain.encode("utf-8", "surrogatepass"), digest_size=8).digest()
    return int.from_bytes(digest, "little")
