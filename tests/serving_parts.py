"""What tests of serving need beside a base: artifacts in a folder, and records of them."""

import threading
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from making import make_trained

from skhost.records import VersionRecord, VersionState
from sktuning import artifact
from sktuning.base import FrozenBase
from sktuning.config import Task


@dataclass
class FolderStore:
    """Artifacts in one folder; counts what is read, and can be made to wait."""

    folder: Path
    reads: list[str] = field(default_factory=list)
    gate: threading.Event = field(default_factory=threading.Event)
    error: Exception | None = None

    def __post_init__(self) -> None:
        self.gate.set()

    def path(self, digest: str) -> Path:
        """Where an artifact is."""
        return self.folder / digest.removeprefix("sha256:")

    def get(self, digest: str, /) -> Path:
        """As the artifact store does it."""
        self.reads.append(digest)
        if not self.gate.wait(10):
            raise TimeoutError("nobody opened the gate")
        if self.error is not None:
            raise self.error
        return self.path(digest)

    def fetch(self, digest: str, tenant: str, /) -> Path:
        """The same, as serving asks."""
        return self.get(digest)

    def add(
        self, base: FrozenBase, name: str = "a", *, version: int = 1, seed: int = 0, **changes: Any
    ) -> VersionRecord:
        """Make an adapter, save it, and say what the catalogue would."""
        task = changes.pop("task", Task.SINGLE_LABEL)
        trained = make_trained(base, task, seed=seed, **changes)
        aside = self.folder / "aside"
        digest = artifact.save(aside, trained)
        if not self.path(digest).exists():
            aside.rename(self.path(digest))
        config = trained.adapter.config
        return VersionRecord(
            name=name,
            version=version,
            digest=digest,
            base=config.base,
            task=config.task,
            labels=config.labels,
            created_at=0.0,
            job_id=None,
            metrics={},
            nbytes=trained.adapter.nbytes,
            state=VersionState.LIVE,
        )
