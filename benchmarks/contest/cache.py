"""Outcomes on disk, one file a run, named by its settings: the contest goes on where it stopped."""

import os
from collections.abc import Iterable
from pathlib import Path

from contest.run import Outcome, Run


class Cache:
    """A folder of outcomes.

    Args:
        folder: made when something is put there.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def get(self, run: Run) -> Outcome | None:
        """What came of the run, if it was ever done."""
        path = self._path(run)
        return Outcome.from_json(path.read_text()) if path.is_file() else None

    def put(self, outcome: Outcome) -> None:
        """Keep it."""
        path = self._path(outcome.run)
        path.parent.mkdir(parents=True, exist_ok=True)
        aside = path.with_name(f".{path.name}.{os.getpid()}")
        aside.write_text(outcome.to_json())
        aside.replace(path)

    def found(self, runs: Iterable[Run]) -> list[Outcome]:
        """The outcomes of those runs that were done."""
        return [outcome for run in runs if (outcome := self.get(run)) is not None]

    def missing(self, runs: Iterable[Run]) -> list[Run]:
        """The runs that were not."""
        return [run for run in runs if not self._path(run).is_file()]

    def _path(self, run: Run) -> Path:
        base = Path(run.base).name
        return self._folder / f"{base}-{run.dataset}-{run.method}-{run.key}.json"
