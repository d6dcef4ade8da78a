"""A local folder as a place: written aside, renamed when whole."""

import os
import shutil
import time
import uuid
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

from skhost.errors import ArtifactRefused

_ASIDE = ".aside"
_LEFT_OVER_S = 3600.0


class Folder:
    """Keeps things under `root`, which is made when something is stored."""

    def __init__(self, root: Path) -> None:
        self._root = root

    def is_there(self) -> bool:
        """Whether the folder that all tenants share is."""
        return self._root.parent.is_dir()

    def put_folder(self, source: Path, files: Sequence[str], key: str) -> None:
        """Store these files of `source`; the folder appears at once with all of them."""
        aside = self._aside()
        try:
            for name in files:
                target = aside / name
                target.parent.mkdir(parents=True, exist_ok=True)
                _copy(source / name, target)
            self._move(aside, self._root / key, files[-1])
        finally:
            shutil.rmtree(aside, ignore_errors=True)

    def put_file(self, source: Path, key: str) -> None:
        """Store one file whole, in place of what was there."""
        aside, target = self._aside(), self._root / key
        try:
            _copy(source, aside / "file")
            target.parent.mkdir(parents=True, exist_ok=True)
            (aside / "file").replace(target)
        finally:
            shutil.rmtree(aside, ignore_errors=True)

    def fetch(self, key: str, target: Path, max_bytes: int) -> None:
        """Copy one file here."""
        source = self._root / key
        if (size := source.stat().st_size) > max_bytes:
            raise ArtifactRefused(f"{key} has {size} bytes; at most {max_bytes}")
        shutil.copyfile(source, target)

    def local_path(self, key: str) -> Path | None:
        """Where the entry is."""
        return self._root / key

    def exists(self, key: str) -> bool:
        """Whether there is such a file or folder."""
        return (self._root / key).exists()

    def children(self, key: str) -> list[str]:
        """Names of the entries of a folder, sorted."""
        with suppress(FileNotFoundError):
            return sorted(path.name for path in (self._root / key).iterdir())
        return []

    def written_at(self, key: str) -> float | None:
        """When something of a file or folder was last written."""
        path = self._root / key
        with suppress(FileNotFoundError):
            return max(each.stat().st_mtime for each in (path, *path.rglob("*")))
        return None

    def remove(self, key: str, first: str = "") -> None:
        """Remove a file, or a folder at once with all in it."""
        aside = self._aside()
        try:
            with suppress(FileNotFoundError):
                (self._root / key).rename(aside / "gone")
        finally:
            shutil.rmtree(aside)

    def _aside(self) -> Path:
        """A new folder on the same filesystem; what a killed process left there is removed."""
        folder = self._root / _ASIDE
        folder.mkdir(parents=True, exist_ok=True)
        for old in folder.iterdir():
            with suppress(FileNotFoundError):
                if time.time() - old.stat().st_mtime > _LEFT_OVER_S:
                    shutil.rmtree(old, ignore_errors=True)
        aside = folder / uuid.uuid4().hex
        aside.mkdir()
        return aside

    def _move(self, aside: Path, target: Path, last: str) -> None:
        """Give the folder its name, unless someone else was faster with the same content."""
        target.parent.mkdir(parents=True, exist_ok=True)
        with suppress(OSError):
            aside.rename(target)
            return
        if not (target / last).exists():
            shutil.rmtree(target, ignore_errors=True)  # not whole: nobody reads it
            aside.rename(target)


def _copy(source: Path, target: Path) -> None:
    """Copy and reach the disk: the catalogue may name it a moment later."""
    with source.open("rb") as reading, target.open("xb") as writing:
        shutil.copyfileobj(reading, writing, 1 << 20)
        writing.flush()
        os.fsync(writing.fileno())
