"""Artifacts by digest, uploads and checkpoints by job, for one tenant. Synchronous: use threads."""

import re
import shutil
import tempfile
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Final

import fsspec
from fsspec.implementations.local import LocalFileSystem

from skhost.errors import ArtifactRefused, InvalidRequest, StoreUnavailable
from skhost.store.bucket import Bucket
from skhost.store.folder import Folder
from skhost.store.place import RETRY_AFTER_S, Place, store_errors
from skhost.store.trees import get_tree, put_tree
from sktuning.errors import ArtifactCorrupt
from sktuning.manifest import DIGEST, LIMITS, MANIFEST, Manifest, read_recorded

MAX_UPLOAD_BYTES: Final = 1 << 40  # uploads were limited when they came in
_ATTEMPTS: Final = 5
_KINDS: Final = ("uploads", "checkpoints", "rows")  # of what belongs to a job
_REF = re.compile(rf"({'|'.join(_KINDS)})(/[A-Za-z0-9][A-Za-z0-9._-]{{0,127}})+")


class ArtifactStore:
    """What is kept for one tenant.

    Artifacts are folders named by their digest. They never change, so one that was fetched
    once is kept in `cache_dir`; a store on the local disk hands out its own folders instead.

    Args:
        url: fsspec URL, such as ``file:///var/lib/skhost/store`` or ``s3://bucket/prefix``.
        tenant: a segment of every path.
        cache_dir: local folder for what is fetched; made when needed.

    Raises:
        StoreUnavailable: nothing installed knows such URLs. Each method raises it too, when the
            filesystem fails.
    """

    def __init__(self, url: str, tenant: str, cache_dir: Path) -> None:
        self._place = _place(url, tenant)
        self._cache = cache_dir / tenant / "sha256"

    def put(self, directory: Path, digest: str) -> None:
        """Store an artifact; nothing happens if it is there and whole.

        Two that store one digest at once may have different cards, and a bucket then mixes their
        files: so each looks at what came of it, and the last one to look mends it.

        Raises:
            ArtifactRefused: `directory` is not the whole artifact of this digest.
        """
        key = _artifact_key(digest)
        with store_errors(f"store the artifact {digest}"):
            files = _verify(directory, digest).files
            for _ in range(_ATTEMPTS):
                if self.exists(digest):
                    if self._is_whole(digest):
                        return
                    self._place.remove(key, first=MANIFEST)
                self._place.put_folder(directory, [*sorted(files), MANIFEST], key)
                if self._is_whole(digest):
                    return
            raise StoreUnavailable(f"{digest} is written by others all the time")

    def keep(self, directory: Path, digest: str) -> None:
        """Store an artifact again if it is gone: it was there before, named by nothing, and old."""
        if not self.exists(digest):
            self.put(directory, digest)

    def get(self, digest: str) -> Path:
        """A local folder with the artifact, every file checked against the manifest. Read only.

        Raises:
            ArtifactRefused: it is not in the store, or it is broken.
        """
        key = _artifact_key(digest)
        with store_errors(f"read the artifact {digest}"):
            path = self._place.local_path(key) or self._cached(key, digest)
            if not path.is_dir():
                if not self._place.is_there():
                    raise StoreUnavailable("the store is not there", retry_after_s=RETRY_AFTER_S)
                raise _missing(digest)
            _verify(path, digest)
            return path

    def exists(self, digest: str) -> bool:
        """Whether the whole artifact is in the store."""
        with store_errors(f"look for the artifact {digest}"):
            return self._place.exists(f"{_artifact_key(digest)}/{MANIFEST}")

    def delete(self, digest: str) -> None:
        """Remove an artifact, if it is there, from the store and from the cache."""
        key = _artifact_key(digest)
        with store_errors(f"delete the artifact {digest}"):
            self._place.remove(key, first=MANIFEST)
            shutil.rmtree(self._cache / _hex(digest), ignore_errors=True)

    def digests(self) -> Sequence[str]:
        """The digests of all stored artifacts, sorted."""
        with store_errors("list the artifacts"):
            found = (f"sha256:{name}" for name in self._place.children("adapters/sha256"))
            return [digest for digest in found if DIGEST.fullmatch(digest)]

    def refs(self) -> Sequence[str]:
        """The references of what is kept for jobs, each job's files as one."""
        with store_errors("list the files of jobs"):
            refs = (f"{kind}/{name}" for kind in _KINDS for name in self._place.children(kind))
            return [ref for ref in refs if _REF.fullmatch(ref)]

    def stored_at(self, entry: str) -> float | None:
        """Unix time at which an artifact, or what has a reference, was last written; None: never.

        Args:
            entry: a digest or a reference.
        """
        key = _artifact_key(entry) if DIGEST.fullmatch(entry) else _checked(entry)
        with store_errors(f"look at {entry}"):
            return self._place.written_at(key)

    def put_file(self, source: Path, ref: str) -> None:
        """Store one file under a reference made by `upload_ref`."""
        with store_errors(f"store {ref}"):
            self._place.put_file(source, _checked(ref))

    def get_file(self, ref: str, target: Path) -> Path:
        """A local copy of the file: the store's own one if it is local, else `target`. Read only.

        Raises:
            StoreUnavailable: also when there is no such file.
        """
        with store_errors(f"read {ref}"):
            if not self._place.exists(_checked(ref)):
                raise StoreUnavailable(f"{ref} is not in the store")
            if (path := self._place.local_path(ref)) is not None:
                return path
            target.unlink(missing_ok=True)
            self._place.fetch(ref, target, MAX_UPLOAD_BYTES)
            return target

    def put_tree(self, source: Path, ref: str, *, fence: int = 0) -> None:
        """Store all files under `source` in place of what `ref` held.

        Args:
            fence: the claim's token; a smaller one than what is stored changes nothing.
        """
        with store_errors(f"store {ref}"):
            put_tree(self._place, source, _checked(ref), fence)

    def get_tree(self, ref: str, target: Path) -> bool:
        """Copy what `ref` holds into `target`, which must be missing or empty.

        Returns:
            False if it holds nothing.

        Raises:
            ArtifactRefused: a file is not what was stored.
        """
        with store_errors(f"read {ref}"):
            return get_tree(self._place, _checked(ref), target)

    def remove(self, ref: str) -> None:
        """Remove an upload or a tree, if it is there."""
        with store_errors(f"delete {ref}"):
            self._place.remove(_checked(ref))

    def _is_whole(self, digest: str) -> bool:
        """Whether the store itself, not the cache, has all of it."""
        key = _artifact_key(digest)
        with suppress(ArtifactRefused, ArtifactCorrupt):
            if (path := self._place.local_path(key)) is not None:
                _verify(path, digest)
                return True
            with tempfile.TemporaryDirectory(prefix="skhost-whole-") as folder:
                self._fetch(key, digest, Path(folder) / "artifact")
                return True
        return False

    def _cached(self, key: str, digest: str) -> Path:
        path = self._cache / _hex(digest)
        if path.is_dir():
            with suppress(ArtifactRefused, ArtifactCorrupt):
                _verify(path, digest)
                return path
            shutil.rmtree(path, ignore_errors=True)  # a damaged copy: fetch it again
        self._fetch(key, digest, path)
        return path

    def _fetch(self, key: str, digest: str, target: Path) -> None:
        """Fetch aside and rename; of several that fetch at once the first one wins."""
        names = self._place.children(key)
        if MANIFEST not in names:
            raise _missing(digest)
        target.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix=".fetching-", dir=target.parent) as folder:
            aside = Path(folder) / "artifact"
            aside.mkdir()
            for name in names:
                if name not in LIMITS:
                    raise ArtifactRefused(f"{name!r:.100} does not belong in an artifact")
                try:
                    self._place.fetch(f"{key}/{name}", aside / name, LIMITS[name])
                except FileNotFoundError:  # it is being replaced
                    raise _missing(digest) from None
            _verify(aside, digest)
            with suppress(OSError):  # someone else was faster; theirs is verified by `get`
                aside.rename(target)


def upload_ref(job_id: str, index: int) -> str:
    """The reference of a job's upload; 0 is the training file."""
    return _checked(f"uploads/{job_id}/{index}")


def checkpoint_ref(job_id: str) -> str:
    """The reference of a job's checkpoint."""
    return _checked(f"checkpoints/{job_id}")


def rows_ref(job_id: str) -> str:
    """The reference of the hashes of a job's training rows."""
    return _checked(f"rows/{job_id}")


def _place(url: str, tenant: str) -> Place:
    try:
        # Others write there too, so no listing may be remembered.
        filesystem, root = fsspec.core.url_to_fs(url, use_listings_cache=False)
    except (ImportError, ValueError) as error:
        raise StoreUnavailable(f"the store URL {url!r} cannot be used: {error}") from error
    if isinstance(filesystem, LocalFileSystem):
        return Folder(Path(root) / tenant)
    return Bucket(filesystem, f"{root.rstrip('/')}/{tenant}")


def _verify(directory: Path, digest: str) -> Manifest:
    """The manifest of a folder that holds exactly what it says.

    Raises:
        ArtifactCorrupt: it holds something else.
        ArtifactRefused: it is another artifact.
    """
    manifest = Manifest.read(directory)
    if manifest.digest != digest:
        raise ArtifactRefused(f"{directory.name} is the artifact {manifest.digest}, not {digest}")
    for name in manifest.files:
        read_recorded(directory, name, manifest)
    return manifest


def _hex(digest: str) -> str:
    if not DIGEST.fullmatch(digest):
        raise ArtifactRefused(f"{digest!r:.100} is not the digest of an artifact")
    return digest.removeprefix("sha256:")


def _artifact_key(digest: str) -> str:
    return f"adapters/sha256/{_hex(digest)}"


def _missing(digest: str) -> ArtifactRefused:
    return ArtifactRefused(f"the artifact {digest} is not in the store")


def _checked(ref: str) -> str:
    if _REF.fullmatch(ref):
        return ref
    raise InvalidRequest(f"{ref!r:.100} is not a reference of the store")
