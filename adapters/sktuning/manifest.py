"""The manifest: which files an artifact has, how large they are and what they hash to."""

import hashlib
import os
import re
import stat
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

from sktuning import document
from sktuning.errors import ArtifactCorrupt

FORMAT = 1
MANIFEST = "manifest.json"
CONFIG = "adapter_config.json"
MODEL = "adapter_model.safetensors"
TRAINING = "training.safetensors"
GOLDEN = "golden.json"
CARD = "README.md"
REQUIRED = frozenset({CONFIG, MODEL, GOLDEN, CARD})
LIMITS: Mapping[str, int] = {  # bytes
    MANIFEST: 64 << 10,
    CONFIG: 4 << 20,
    GOLDEN: 16 << 20,
    CARD: 4 << 20,
    MODEL: 512 << 20,
    TRAINING: 1 << 30,
}
FILES = frozenset(LIMITS)
_SHA256 = re.compile(r"[0-9a-f]{64}")
# Without O_NONBLOCK a named pipe would block the open itself.
_OPEN_FLAGS = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
DIGEST = re.compile(r"sha256:[0-9a-f]{64}")


@dataclass(frozen=True, slots=True)
class FileRecord:
    """One file as it was written."""

    sha256: str
    size: int  # bytes

    @classmethod
    def of(cls, data: bytes) -> Self:
        """The record of a file that holds `data`."""
        return cls(hashlib.sha256(data).hexdigest(), len(data))


@dataclass(frozen=True, slots=True)
class Manifest:
    """What an artifact says of itself; written last, so that it is there only when all is."""

    digest: str  # "sha256:…" over the configuration and the served tensors
    dtype: str  # of the prompt's tensor
    files: Mapping[str, FileRecord]  # all but the manifest

    def to_bytes(self) -> bytes:
        """The file's content."""
        files = {n: {"sha256": r.sha256, "size": r.size} for n, r in sorted(self.files.items())}
        head = {"format": FORMAT, "digest": self.digest, "dtype": self.dtype}
        return document.pretty({**head, "files": files})

    @classmethod
    def read(cls, directory: Path) -> Self:
        """The manifest of the artifact in `directory`, after a look at what else is there.

        Raises:
            ArtifactCorrupt: it is missing or malformed, or the directory holds anything else than
                exactly the files it names, each a plain file of the size it says.
        """
        sizes = list_files(directory)
        if MANIFEST not in sizes:
            raise ArtifactCorrupt(f"{directory.name} has no {MANIFEST}: it was never finished")
        manifest = cls._parse(read_bounded(directory, MANIFEST))
        del sizes[MANIFEST]
        said = {name: record.size for name, record in manifest.files.items()}
        if said != sizes:
            raise ArtifactCorrupt(f"the manifest names {said} (bytes), the directory has {sizes}")
        return manifest

    @classmethod
    def _parse(cls, data: bytes) -> Self:
        values = document.parse(data, MANIFEST)
        if values.get("format") != FORMAT:
            raise ArtifactCorrupt(f"artifact format {values.get('format')!r:.50}; {FORMAT} is read")
        digest, dtype, files = (values.get(key) for key in ("digest", "dtype", "files"))
        if not isinstance(digest, str) or not DIGEST.fullmatch(digest):
            raise ArtifactCorrupt(f"{MANIFEST}: {digest!r:.100} is not a digest")
        if not isinstance(dtype, str) or not isinstance(files, dict):
            raise ArtifactCorrupt(f"{MANIFEST}: dtype or files missing")
        records = {name: _record(name, value) for name, value in files.items()}
        if missing := REQUIRED - records.keys():
            raise ArtifactCorrupt(f"{MANIFEST} does not name {', '.join(sorted(missing))}")
        return cls(digest, dtype, records)


def list_files(directory: Path) -> dict[str, int]:
    """Name and bytes of each file of an artifact's directory.

    Raises:
        ArtifactCorrupt: no such directory, or an entry that an artifact cannot have: another name,
            a link, a folder, a device, or a file beyond its limit.
    """
    try:
        with os.scandir(directory) as entries:
            return {entry.name: _plain_size(entry) for entry in entries}
    except (FileNotFoundError, NotADirectoryError) as error:
        raise ArtifactCorrupt(f"there is no artifact at {directory}") from error


def read_bounded(directory: Path, name: str) -> bytes:
    """The file's bytes, within its limit; links are not followed.

    Raises:
        ArtifactCorrupt: it is missing, not a plain file, or too large.
    """
    try:
        descriptor = os.open(directory / name, _OPEN_FLAGS)
    except OSError as error:
        raise ArtifactCorrupt(f"{name} cannot be opened: {error.strerror}") from error
    with os.fdopen(descriptor, "rb") as file:
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            raise ArtifactCorrupt(f"{name} is not a plain file")
        data = file.read(LIMITS[name] + 1)
    if len(data) > LIMITS[name]:
        raise ArtifactCorrupt(f"{name} is larger than {LIMITS[name]} bytes")
    return data


def read_recorded(directory: Path, name: str, manifest: Manifest) -> bytes:
    """The file's bytes if they are what the manifest recorded.

    Raises:
        ArtifactCorrupt: the manifest does not name it, or its size or hash differ.
    """
    record = manifest.files.get(name)
    if record is None:
        raise ArtifactCorrupt(f"the artifact has no {name}")
    data = read_bounded(directory, name)
    if (seen := FileRecord.of(data)) != record:
        raise ArtifactCorrupt(
            f"{name} has {seen.size} bytes and sha-256 {seen.sha256[:12]}…; "
            f"the manifest says {record.size} and {record.sha256[:12]}…"
        )
    return data


def _plain_size(entry: os.DirEntry[str]) -> int:
    if entry.name not in FILES:
        raise ArtifactCorrupt(f"{entry.name!r:.100} does not belong in an artifact")
    if entry.is_symlink() or not entry.is_file(follow_symlinks=False):
        raise ArtifactCorrupt(f"{entry.name} is a link or not a plain file")
    size = entry.stat(follow_symlinks=False).st_size
    if size > LIMITS[entry.name]:
        raise ArtifactCorrupt(f"{entry.name} has {size} bytes; at most {LIMITS[entry.name]}")
    return size


def _record(name: str, value: Any) -> FileRecord:
    if name not in FILES - {MANIFEST}:
        raise ArtifactCorrupt(f"{MANIFEST} names {name!r:.100}, which no artifact has")
    sha256, size = (value.get("sha256"), value.get("size")) if isinstance(value, dict) else (0, 0)
    if not isinstance(sha256, str) or not _SHA256.fullmatch(sha256) or type(size) is not int:
        raise ArtifactCorrupt(f"{MANIFEST}: the record of {name} is {value!r:.200}")
    return FileRecord(sha256, size)
