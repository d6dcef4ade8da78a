"""Outcomes on disk, one file a run, named by its settings: a benchmark goes on where it stopped."""

import os
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Generic, Protocol, TypeVar


class NamedRun(Protocol):
    """The settings of a run, as far as they name its file."""

    @property
    def base(self) -> str:
        """A name, or where it is."""

    @property
    def dataset(self) -> str:
        """Its name."""

    @property
    def method(self) -> str:
        """Its name."""

    @property
    def key(self) -> str:
        """Tells these settings from all others."""


RunT = TypeVar("RunT", bound=NamedRun)
RunT_co = TypeVar("RunT_co", bound=NamedRun, covariant=True)


class KeptOutcome(Protocol[RunT_co]):
    """What came of a run, as far as it is kept and told of."""

    @property
    def run(self) -> RunT_co:
        """The settings."""

    @property
    def score(self) -> float:
        """How good it was."""

    @property
    def seconds(self) -> float:
        """How long it took."""

    def to_json(self) -> str:
        """As one file."""


OutcomeT = TypeVar("OutcomeT", bound=KeptOutcome[NamedRun])


class Cache(Generic[RunT, OutcomeT]):
    """A folder of outcomes.

    Args:
        folder: made when something is put there.
        read: makes an outcome of a file's text.
    """

    def __init__(self, folder: Path, read: Callable[[str], OutcomeT]) -> None:
        self._folder = folder
        self._read = read

    def get(self, run: RunT) -> OutcomeT | None:
        """What came of the run, if it was ever done."""
        path = self._path(run)
        return self._read(path.read_text()) if path.is_file() else None

    def put(self, outcome: OutcomeT) -> None:
        """Keep it."""
        path = self._path(outcome.run)
        path.parent.mkdir(parents=True, exist_ok=True)
        aside = path.with_name(f".{path.name}.{os.getpid()}")
        aside.write_text(outcome.to_json())
        aside.replace(path)

    def forget(self, runs: Iterable[RunT]) -> None:
        """Drop what came of these runs."""
        for run in runs:
            self._path(run).unlink(missing_ok=True)

    def found(self, runs: Iterable[RunT]) -> list[OutcomeT]:
        """The outcomes of those runs that were done."""
        return [outcome for run in runs if (outcome := self.get(run)) is not None]

    def missing(self, runs: Iterable[RunT]) -> list[RunT]:
        """The runs that were not."""
        return [run for run in runs if not self._path(run).is_file()]

    def _path(self, run: NamedRun) -> Path:
        base = Path(run.base).name
        return self._folder / f"{base}-{run.dataset}-{run.method}-{run.key}.json"
