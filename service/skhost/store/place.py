"""What the store needs from where it keeps things. Keys are relative paths with slashes."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Protocol

from skhost.errors import ArtifactRefused, ServiceError, StoreUnavailable
from sktuning.errors import ArtifactCorrupt

RETRY_AFTER_S = 5.0


class Place(Protocol):
    """A local folder or a bucket."""

    def is_there(self) -> bool:
        """Whether the place itself is, or is one that always is: what is not mounted is not."""

    def put_folder(self, source: Path, files: Sequence[str], key: str) -> None:
        """Store these files of `source`, the last one last; a reader sees it only after all."""

    def put_file(self, source: Path, key: str) -> None:
        """Store one file whole, in place of what was there."""

    def fetch(self, key: str, target: Path, max_bytes: int) -> None:
        """Copy one file here. ArtifactRefused if it is larger; FileNotFoundError without it."""

    def local_path(self, key: str) -> Path | None:
        """Where the entry is on this machine's disk, if that is where the place is."""

    def exists(self, key: str) -> bool:
        """Whether there is such a file or folder."""

    def children(self, key: str) -> list[str]:
        """Names of the entries of a folder, sorted; none if there is no such folder."""

    def written_at(self, key: str) -> float | None:
        """Unix time at which something of a file or folder was last written; None without it."""

    def remove(self, key: str, first: str = "") -> None:
        """Remove a file, or a folder with all in it; nothing happens if there is none.

        Where that takes several steps, the folder's file `first` is the first to go.
        """


@contextmanager
def store_errors(what: str) -> Iterator[None]:
    """Turns what libraries raise into errors of the service; `what` was to be done."""
    try:
        yield
    except ServiceError:
        raise
    except ArtifactCorrupt as error:
        raise ArtifactRefused(str(error)) from error
    except Exception as error:  # each filesystem has its own tree: botocore, aiohttp, gcsfs, …
        raise StoreUnavailable(
            f"the artifact store failed to {what}: {type(error).__name__}: {error}",
            retry_after_s=RETRY_AFTER_S,
        ) from error
