"""Artifacts as ``.tar.gz``: one in, one out. What comes in is not trusted at all."""

import gzip
import io
import shutil
import tarfile
import tempfile
import zlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Final, Self

from skhost.errors import ArtifactRefused
from sktuning.errors import ArtifactCorrupt
from sktuning.manifest import CONFIG, LIMITS, MANIFEST, Manifest, read_bounded, read_recorded
from sktuning.peft.declaration import PICKLED, PICKLED_REASON, is_declared

_CHUNK_BYTES = 1 << 18
_RATIO_FREE_BYTES: Final = 1 << 20  # small archives may expand as much as they like
_MAX_EXTENSION_BYTES: Final = 64 << 10
_PLAIN: Final = (tarfile.REGTYPE, tarfile.AREGTYPE)


@dataclass(frozen=True, slots=True)
class ArchiveLimits:
    """What an archive may be at most."""

    compressed_bytes: int = 256 << 20
    expanded_bytes: int = 1 << 30
    file_bytes: int = 512 << 20
    ratio: float = 100.0  # expanded to compressed


def pack(directory: Path, out: IO[bytes]) -> None:
    """Write the artifact in `directory` as a ``.tar.gz``; the same artifact gives the same bytes.

    Raises:
        ArtifactRefused: it is not a whole artifact.
    """
    with _refusals():
        pack_files(directory, [*sorted(Manifest.read(directory).files), MANIFEST], out)


def pack_files(directory: Path, names: Sequence[str], out: IO[bytes]) -> None:
    """Write some of a folder's files as a ``.tar.gz``; the same files give the same bytes."""
    compressed = gzip.GzipFile(filename="", mode="wb", compresslevel=6, fileobj=out, mtime=0)
    with compressed, tarfile.open(fileobj=compressed, mode="w|") as archive:
        for name in names:
            member = tarfile.TarInfo(name)  # no owner, no time
            member.size = (directory / name).stat().st_size
            with (directory / name).open("rb") as file:
                archive.addfile(member, file)


def unpack(source: IO[bytes], target: Path, limits: ArchiveLimits | None = None) -> str | None:
    """Check an archive and put what is in it at `target`, which must not be there yet.

    Nothing is left behind when it is refused.

    Returns:
        The digest that the manifest states; every file was checked against the manifest. None: it
        is a PEFT checkpoint, of which nothing but the files' names and sizes has been checked.

    Raises:
        ArtifactRefused: it is broken, hostile, or neither of the two; says what was seen.
    """
    limits = limits or ArchiveLimits()
    target.parent.mkdir(parents=True, exist_ok=True)
    with (
        tempfile.TemporaryDirectory(prefix=".import-", dir=target.parent) as folder,
        _refusals(),
    ):
        aside = Path(folder) / "artifact"
        aside.mkdir()
        _extract(_Expanded(source, limits), aside, limits)
        digest = None if _is_peft(aside) else _check_artifact(aside)
        if target.exists():
            raise ArtifactRefused(f"{target.name} is there already")
        aside.rename(target)
        return digest


def _is_peft(folder: Path) -> bool:
    """Artifacts have a manifest; without one, PEFT's configuration is told by its type."""
    if (folder / MANIFEST).exists() or not (folder / CONFIG).exists():
        return False
    return is_declared(read_bounded(folder, CONFIG))


def _check_artifact(folder: Path) -> str:
    manifest = Manifest.read(folder)
    for name in manifest.files:
        read_recorded(folder, name, manifest)
    return manifest.digest


class _Expanded(io.RawIOBase):
    """The expanded bytes of a gzip stream, read forwards and never beyond the limits."""

    def __init__(self, source: IO[bytes], limits: ArchiveLimits) -> None:
        super().__init__()
        self._source = source
        self._limits = limits
        self._inflate = zlib.decompressobj(wbits=16 + zlib.MAX_WBITS)  # one gzip member
        self._num_in = 0
        self._num_out = 0

    def readable(self) -> bool:
        return True

    def read(self, size: int = -1, /) -> bytes:
        """Up to `size` bytes; none at the end."""
        size = _CHUNK_BYTES if size < 0 else size
        data = b""
        while not data and not self._inflate.eof:
            data = self._inflate.decompress(self._inflate.unconsumed_tail or self._more(), size)
        self._num_out += len(data)
        self._check()
        return data

    def finish(self) -> None:
        """Read to the end: the checksum is true and nothing follows that a reader would miss."""
        while data := self.read(_CHUNK_BYTES):
            if data.strip(b"\0"):
                raise ArtifactRefused("the archive goes on after its end")
        if self._inflate.unused_data or self._source.read(1):
            raise ArtifactRefused("something follows the archive's end")

    def _more(self) -> bytes:
        chunk = self._source.read(_CHUNK_BYTES)
        self._num_in += len(chunk)
        if not chunk:
            raise ArtifactRefused("the archive ends too early: it is cut off, or not a .tar.gz")
        return chunk

    def _check(self) -> None:
        limits = self._limits
        if self._num_in > limits.compressed_bytes:
            raise ArtifactRefused(f"the archive has more than {limits.compressed_bytes} bytes")
        if self._num_out > limits.expanded_bytes:
            raise ArtifactRefused(f"the archive expands to over {limits.expanded_bytes} bytes")
        if self._num_out > max(_RATIO_FREE_BYTES, limits.ratio * self._num_in):
            raise ArtifactRefused(f"the archive expands more than {limits.ratio:g} times")


def _extract(expanded: _Expanded, folder: Path, limits: ArchiveLimits) -> None:
    with tarfile.open(fileobj=expanded, mode="r|", tarinfo=_Member) as archive:
        for member in archive:
            _check_member(member, folder, limits)
            content = archive.extractfile(member)
            # Only bytes leave the archive: no mode, owner, time or path of its own.
            with (folder / member.name).open("xb") as file:
                shutil.copyfileobj(content or io.BytesIO(), file, _CHUNK_BYTES)
    expanded.finish()


class _Member(tarfile.TarInfo):
    """A header whose extensions (long names, pax records) are bounded before they are read."""

    @classmethod
    def frombuf(cls, buf: bytes | bytearray, encoding: str, errors: str) -> Self:
        member = super().frombuf(buf, encoding, errors)
        if member.type not in _PLAIN and member.size > _MAX_EXTENSION_BYTES:
            raise ArtifactRefused(f"the archive has a header of {member.size} bytes")
        return member


def _check_member(member: tarfile.TarInfo, folder: Path, limits: ArchiveLimits) -> None:
    name = member.name
    if member.type not in _PLAIN or member.issparse():
        raise ArtifactRefused(f"{name!r:.100} in the archive is not a plain file")
    if name in PICKLED:
        raise ArtifactRefused(f"{name}: {PICKLED_REASON}")
    if name not in LIMITS:
        raise ArtifactRefused(
            f"{name!r:.100} does not belong in an artifact; only {', '.join(sorted(LIMITS))} do, "
            "without folders"
        )
    if member.size > (most := min(LIMITS[name], limits.file_bytes)):
        raise ArtifactRefused(f"{name} says that it has {member.size} bytes; at most {most}")
    if (folder / name).exists():
        raise ArtifactRefused(f"{name} is in the archive twice")


@contextmanager
def _refusals() -> Iterator[None]:
    try:
        yield
    except ArtifactCorrupt as error:
        raise ArtifactRefused(str(error)) from error
    except (tarfile.TarError, zlib.error, EOFError, ValueError) as error:
        raise ArtifactRefused(f"the archive cannot be read: {error}") from error
