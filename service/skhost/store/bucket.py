"""Any fsspec filesystem as a place: no rename is needed, the last file makes the rest visible."""

from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from skhost.errors import ArtifactRefused

_CHUNK_BYTES = 1 << 20


class Bucket:
    """Keeps things under `root` of `filesystem` (an ``fsspec.AbstractFileSystem``)."""

    def __init__(self, filesystem: Any, root: str) -> None:
        self._fs = filesystem
        self._root = root.rstrip("/")

    def is_there(self) -> bool:
        """A bucket that is not fails at the first request to it."""
        return True

    def put_folder(self, source: Path, files: Sequence[str], key: str) -> None:
        """Store these files of `source` in this order."""
        for name in files:
            self.put_file(source / name, f"{key}/{name}")

    def put_file(self, source: Path, key: str) -> None:
        """Store one file, in place of what was there; object stores do so whole or not at all."""
        # It makes missing folders itself; asking for them here would make missing buckets.
        self._fs.put_file(str(source), self._path(key))

    def fetch(self, key: str, target: Path, max_bytes: int) -> None:
        """Copy one file here."""
        left = max_bytes
        with self._fs.open(self._path(key), "rb") as reading, target.open("xb") as writing:
            while chunk := reading.read(_CHUNK_BYTES):
                left -= len(chunk)
                if left < 0:
                    raise ArtifactRefused(f"{key} has more than {max_bytes} bytes")
                writing.write(chunk)

    def local_path(self, key: str) -> Path | None:
        """None: it is elsewhere."""
        return None

    def exists(self, key: str) -> bool:
        """Whether there is such a file or folder."""
        return bool(self._fs.exists(self._path(key)))

    def children(self, key: str) -> list[str]:
        """Names of the entries of a folder, sorted."""
        with suppress(FileNotFoundError):
            found = self._fs.ls(self._path(key), detail=False)
            return sorted(str(path).rstrip("/").rpartition("/")[2] for path in found)
        return []

    def written_at(self, key: str) -> float | None:
        """When something of a file or folder was last written."""
        with suppress(FileNotFoundError):
            paths = self._fs.find(self._path(key))
            return max((self._fs.modified(path).timestamp() for path in paths), default=None)
        return None

    def remove(self, key: str, first: str = "") -> None:
        """Remove a file, or a folder with all in it, its file `first` before the others."""
        for path in ([f"{key}/{first}"] if first else []) + [key]:
            with suppress(FileNotFoundError):
                self._fs.rm(self._path(path), recursive=True)

    def _path(self, key: str) -> str:
        return f"{self._root}/{key}"
