"""One training from few rows: its settings, which name it, and what came of it."""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any, Self

FORMAT = 1  # raised when a run of the same settings would come out differently
TEST_ROWS = 1000


@dataclass(frozen=True, slots=True)
class Run:
    """Everything that decides what a run does, but for the code of the method.

    Attributes:
        base: a name of `contest.bases`, or where a base is.
        method: a name of `few.methods`.
        shots: training rows a label; fewer of a label that has fewer.
        seed: draws the rows, and whatever else the method draws.
        test_rows: at most, the same for all.
    """

    base: str
    dataset: str
    method: str
    shots: int
    seed: int
    test_rows: int = TEST_ROWS
    format: int = FORMAT

    @property
    def key(self) -> str:
        """Tells these settings from all others."""
        return hashlib.sha256(json.dumps(asdict(self)).encode()).hexdigest()[:12]

    def __str__(self) -> str:
        return f"{self.base} {self.dataset} {self.shots}/label {self.method} #{self.seed}"


@dataclass(frozen=True, slots=True)
class Outcome:
    """What a run measured.

    Attributes:
        score: accuracy on the test rows.
        seconds: of the processor, on one thread, from rows to something that can answer.
        steps: of an optimiser over the base or the prompt; 0 where only a head is fitted.
        train_rows, test_rows: how many there were.
        machine: where and with what it ran.
    """

    run: Run
    score: float
    seconds: float
    steps: int
    train_rows: int
    test_rows: int
    machine: Mapping[str, Any] = field(default_factory=dict)

    def to_json(self) -> str:
        """As one file of the cache."""
        return json.dumps(asdict(self), indent=1) + "\n"

    @classmethod
    def from_json(cls, text: str) -> Self:
        """The reverse of `to_json`."""
        values: dict[str, Any] = json.loads(text)
        return cls(run=Run(**values.pop("run")), **values)
