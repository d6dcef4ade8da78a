"""What is asked of every server and of every peer: the same texts, each for the same adapter."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from serving_rungs import loads
from serving_rungs.fleet import name_of
from serving_rungs.loads import Load, Pattern

TEXTS = 1024

Request = tuple[str, str]


@dataclass(frozen=True, slots=True)
class Workload:
    """Texts of a dataset, and the number of the adapter that each asks for, by Zipf's law."""

    dataset: str
    adapters: int
    texts: Sequence[str]
    wanted: Sequence[int]

    @classmethod
    def read(cls, folder: Path, adapters: int, count: int = TEXTS) -> "Workload":
        """The first of a dataset's texts, for so many adapters."""
        return cls.of(folder.name, loads.texts(folder)[:count], adapters)

    @classmethod
    def of(cls, dataset: str, texts: Sequence[str], adapters: int) -> "Workload":
        """These texts, for so many adapters."""
        wanted = Load(adapters, Pattern.ZIPF).draw(len(texts), seed=0)
        return cls(dataset, adapters, texts, wanted)

    def requests(self, rows: int) -> list[Request]:
        """Paths and bodies of requests of so many texts; each is for its first text's adapter."""
        if rows == 1:
            return [
                _request(number, {"text": text})
                for text, number in zip(self.texts, self.wanted, strict=True)
            ]
        whole = range(0, len(self.texts) - rows + 1, rows)
        return [_request(self.wanted[i], {"texts": self.texts[i : i + rows]}) for i in whole]

    def once_each(self) -> list[Request]:
        """One request for each adapter, so that none is cold afterwards."""
        count = len(self.texts)
        return [_request(n, {"text": self.texts[n % count]}) for n in range(self.adapters)]


def _request(number: int, body: object) -> Request:
    return f"/classify?adapter={name_of(number)}", json.dumps(body)
