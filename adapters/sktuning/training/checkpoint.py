"""A training's state on disk: one safetensors file, replaced at once, so never half written."""

import json
import logging
import os
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

log = logging.getLogger(__name__)

NAME = "checkpoint.safetensors"


@dataclass(slots=True)
class Position:
    """Where a training stands.

    Attributes:
        step: optimiser steps done.
        start_score: of the fitted head alone, before the first step.
        best_score: of the best evaluation after a step.
        stale: evaluations since that one.
        kept_step: the step whose state is kept.
        seconds: computed so far, over all attempts.
        history: the evaluations.
        fingerprint: of data and settings; a checkpoint of another training is not resumed.
    """

    step: int = 0
    start_score: float | None = None
    best_score: float | None = None
    stale: int = 0
    kept_step: int = 0
    seconds: float = 0.0
    history: list[dict[str, float]] = field(default_factory=list)
    fingerprint: str = ""

    def take(self, score: float) -> bool:
        """Count an evaluation; whether its state is better than the one kept so far.

        The state before the first step is kept only while nothing trained is as good.
        """
        if self.step == 0:
            self.start_score = score
            return True
        if self.best_score is not None and score <= self.best_score:
            self.stale += 1
            return False
        self.best_score, self.stale = score, 0
        return self.start_score is None or score >= self.start_score


def save_checkpoint(directory: Path, position: Position, tensors: Mapping[str, Tensor]) -> None:
    """Replace the checkpoint in `directory`."""
    directory.mkdir(parents=True, exist_ok=True)
    aside = directory / f".{NAME}.{os.getpid()}"
    plain = {name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()}
    save_file(plain, aside, metadata={"position": json.dumps(asdict(position))})
    with aside.open("rb") as file:
        os.fsync(file.fileno())
    aside.replace(directory / NAME)


def load_checkpoint(directory: Path) -> tuple[Position, dict[str, Tensor]] | None:
    """The checkpoint in `directory`; None when there is none that can be read."""
    path = directory / NAME
    if not path.is_file():
        return None
    try:
        with safe_open(path, framework="pt") as file:
            names = list(file.keys())
            values: dict[str, Any] = json.loads(file.metadata()["position"])
            return Position(**values), {n: file.get_tensor(n) for n in names}
    except (SafetensorError, OSError, KeyError, TypeError, ValueError) as error:
        # starting over loses time; refusing to start would lose the job
        log.warning("the checkpoint %s cannot be read, starting over: %s", path, error)
        return None
