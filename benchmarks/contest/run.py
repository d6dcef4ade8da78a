"""One run of the contest: its settings, which name it, and what came of it."""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any, Self

FORMAT = 3  # raised when a run of the same settings would come out differently
HELD_OUT = 200  # rows that a learning curve is judged by, at most: enough to see its course
POINTS = 6  # of a learning curve, after the one before the first step


@dataclass(frozen=True, slots=True)
class Run:
    """Everything that decides what a run does.

    Attributes:
        base: a name of `contest.bases`, or where a base is.
        learning_rate: of the method's own parameters.
        rows: training rows at most; None: all.
        shots: training rows a label at most; None: as they come.
        epochs: over the training rows.
        min_steps: so few rows that the epochs are fewer steps get more epochs.
        held_out: held-out rows at most; None: all.
        points: evaluations of the held-out rows, evenly spread over the steps.
        dtype: of the frozen base; what is trained is in float32.
        variant: what is otherwise than by default, see `contest.variants`.
        as_product: whether it trains as the product does: then epochs and points say nothing.
    """

    base: str
    dataset: str
    method: str
    learning_rate: float
    rows: int | None
    epochs: int
    shots: int | None = None
    min_steps: int = 0
    seed: int = 0
    held_out: int | None = HELD_OUT
    points: int = POINTS
    dtype: str = "float32"
    format: int = FORMAT
    variant: str = ""
    as_product: bool = False

    @property
    def key(self) -> str:
        """Tells these settings from all others."""
        settings = asdict(self)
        for later in ("variant", "as_product"):  # what runs without them are named as ever
            if not settings[later]:
                del settings[later]
        return hashlib.sha256(json.dumps(settings).encode()).hexdigest()[:12]

    @property
    def setting(self) -> tuple[str, str, int | None, int | None]:
        """What runs must share to be compared: base, dataset, rows and shots."""
        return self.base, self.dataset, self.rows, self.shots

    def __str__(self) -> str:
        shots = f" {self.shots}/label" if self.shots else ""
        how = "as the product" if self.as_product else ""
        method = " ".join(filter(None, (self.method, self.variant, how)))
        return f"{self.base} {self.dataset}{shots} {method} {self.learning_rate:g} #{self.seed}"


@dataclass(frozen=True, slots=True)
class Point:
    """The held-out rows' score after `step` steps.

    Attributes:
        seconds: of training until then, the warm start among them.
    """

    step: int
    seconds: float
    score: float


@dataclass(frozen=True, slots=True)
class Outcome:
    """What a run measured.

    Attributes:
        metric: the name of what the scores are.
        score: of the test rows, after the last step.
        curve: scores of the held-out rows.
        seconds: of the optimiser steps: forward, backward, update; no evaluation.
        warm_s: of the warm start: reading the frozen features and fitting the head.
        rows_seen: by all steps.
        trainable: numbers that are trained, the head's among them.
        artifact_bytes: of the tensors that serving needs beside the base, in a safetensors file.
        peak_bytes: of the process while it trained.
        machine: where and with what it ran.
    """

    run: Run
    metric: str
    score: float
    curve: tuple[Point, ...]
    seconds: float
    warm_s: float
    steps: int
    rows_seen: int
    train_rows: int
    held_out_rows: int
    test_rows: int
    trainable: int
    artifact_bytes: int
    peak_bytes: int
    virtual_tokens: int
    machine: Mapping[str, Any] = field(default_factory=dict)

    @property
    def held_out_score(self) -> float:
        """After the last step."""
        return self.curve[-1].score

    def to_json(self) -> str:
        """As one file of the cache."""
        return json.dumps(asdict(self), indent=1) + "\n"

    @classmethod
    def from_json(cls, text: str) -> Self:
        """The reverse of `to_json`."""
        values: dict[str, Any] = json.loads(text)
        run = Run(**values.pop("run"))
        curve = tuple(Point(**point) for point in values.pop("curve"))
        return cls(run=run, curve=curve, **values)
