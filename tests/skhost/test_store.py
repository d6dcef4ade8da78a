import io
import os
import time
import uuid
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, ClassVar

import fsspec
import pytest
from fsspec.implementations.memory import MemoryFileSystem
from plain_artifact import contents, write_artifact

from skhost.errors import ArtifactRefused, InvalidRequest, StoreUnavailable
from skhost.store import ArtifactStore, checkpoint_ref, upload_ref
from skhost.store.folder import Folder
from sktuning.manifest import CARD, CONFIG, MANIFEST, MODEL

JOB = "0123456789abcdef"


@pytest.fixture(params=["file", "memory", "s3"])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    if request.param == "file":
        yield f"file://{tmp_path}/the store"
        return
    if request.param == "s3":
        yield f"{request.getfixturevalue('s3_url')}/{uuid.uuid4().hex}/the store"
        return
    root = f"/{uuid.uuid4().hex}"
    yield f"memory:/{root}"
    memory = fsspec.filesystem("memory")
    if memory.exists(root):
        memory.rm(root, recursive=True)


@pytest.fixture
def store(url: str, tmp_path: Path) -> ArtifactStore:
    return ArtifactStore(url, "default", tmp_path / "cache")


@pytest.fixture
def made(tmp_path: Path) -> Path:
    return tmp_path / "made"


def _damage(url: str, digest: str, name: str, data: bytes) -> None:
    filesystem, root = fsspec.core.url_to_fs(url)
    path = f"{root}/default/adapters/sha256/{digest.removeprefix('sha256:')}/{name}"
    filesystem.makedirs(path.rpartition("/")[0], exist_ok=True)
    filesystem.pipe_file(path, data)


def _paths(url: str) -> list[str]:
    filesystem, root = fsspec.core.url_to_fs(url, use_listings_cache=False)
    return sorted(str(path) for path in filesystem.find(root))


def test_an_artifact_comes_back_as_it_was(store: ArtifactStore, made: Path) -> None:
    digest = write_artifact(made)
    assert not store.exists(digest)
    store.put(made, digest)
    assert store.exists(digest)
    assert contents(store.get(digest)) == contents(made)
    assert store.digests() == [digest]


def test_a_second_put_changes_nothing(store: ArtifactStore, url: str, made: Path) -> None:
    digest = write_artifact(made)
    store.put(made, digest)
    before = _paths(url)
    store.put(made, digest)
    assert _paths(url) == before
    assert len(before) == 6  # nothing aside is left


def test_what_is_kept_is_stored_again_where_it_is_gone(store: ArtifactStore, made: Path) -> None:
    digest = write_artifact(made)
    before = time.time()
    store.put(made, digest)
    store.delete(digest)
    assert store.stored_at(digest) is None
    store.keep(made, digest)
    store.keep(made, digest)
    assert contents(store.get(digest)) == contents(made)
    stored_at = store.stored_at(digest)
    assert stored_at is not None
    assert before - 2 < stored_at < time.time() + 2  # a bucket counts whole seconds


def test_a_local_store_hands_out_its_own_folder(tmp_path: Path, made: Path) -> None:
    store = ArtifactStore(f"file://{tmp_path}/store", "acme", tmp_path / "cache")
    digest = write_artifact(made)
    store.put(made, digest)
    expected = tmp_path / "store" / "acme" / "adapters" / "sha256" / digest.removeprefix("sha256:")
    assert store.get(digest) == expected
    assert not (tmp_path / "cache").exists()


def test_what_was_fetched_once_needs_no_store(tmp_path: Path, made: Path) -> None:
    url = f"memory://{uuid.uuid4().hex}"
    store = ArtifactStore(url, "default", tmp_path / "cache")
    digest = write_artifact(made)
    store.put(made, digest)
    path = store.get(digest)
    fsspec.filesystem("memory").rm(url.removeprefix("memory:/"), recursive=True)
    assert store.get(digest) == path
    assert contents(path) == contents(made)


def test_a_damaged_copy_in_the_cache_is_fetched_again(tmp_path: Path, made: Path) -> None:
    store = ArtifactStore(f"memory://{uuid.uuid4().hex}", "default", tmp_path / "cache")
    digest = write_artifact(made)
    store.put(made, digest)
    (store.get(digest) / MODEL).write_bytes(b"bit rot")
    assert contents(store.get(digest)) == contents(made)


class SharedMemory(MemoryFileSystem):  # type: ignore[misc]
    """`memory:` with a position of its own for every reader, as real stores have."""

    protocol = "shared-memory"
    store: ClassVar[dict[str, Any]] = {}

    def _open(self, path: str, mode: str = "rb", **kwargs: Any) -> Any:
        opened = super()._open(path, mode, **kwargs)
        return io.BytesIO(opened.getvalue()) if mode == "rb" else opened


def test_many_that_fetch_at_once_get_one_whole_copy(tmp_path: Path, made: Path) -> None:
    fsspec.register_implementation("shared-memory", SharedMemory, clobber=True)
    store = ArtifactStore(f"shared-memory://{uuid.uuid4().hex}", "default", tmp_path / "cache")
    digest = write_artifact(made)
    store.put(made, digest)
    with ThreadPoolExecutor(8) as threads:
        paths = set(threads.map(lambda _: store.get(digest), range(32)))
    assert len(paths) == 1
    (path,) = paths
    assert contents(path) == contents(made)
    assert [entry.name for entry in path.parent.iterdir()] == [path.name]


def test_many_that_put_at_once_leave_one_whole_artifact(tmp_path: Path, made: Path) -> None:
    store = ArtifactStore(f"file://{tmp_path}/store", "default", tmp_path / "cache")
    digest = write_artifact(made)
    with ThreadPoolExecutor(8) as threads:
        list(threads.map(lambda _: store.put(made, digest), range(32)))
    assert contents(store.get(digest)) == contents(made)
    assert len(_paths(f"file://{tmp_path}/store")) == 6


class Meddled(SharedMemory):
    """`shared-memory:` where something happens once, right after a card was written."""

    protocol = "meddled"
    then: ClassVar[list[Callable[[], None]]] = []

    def put_file(self, lpath: str, rpath: str, **kwargs: Any) -> None:
        super().put_file(lpath, rpath, **kwargs)
        if rpath.endswith(CARD) and self.then:
            self.then.pop()()


def test_two_writers_whose_cards_differ_leave_one_whole_artifact(tmp_path: Path) -> None:
    # A bucket has no rename: the files of two that store one digest at once come to lie mixed.
    fsspec.register_implementation("meddled", Meddled, clobber=True)
    url = f"meddled://{uuid.uuid4().hex}"
    one, other = tmp_path / "one", tmp_path / "other"
    digest = write_artifact(one, card=b"# One\n")
    assert write_artifact(other, card=b"# Other\n") == digest
    Meddled.then.append(lambda: ArtifactStore(url, "default", tmp_path / "b").put(other, digest))
    ArtifactStore(url, "default", tmp_path / "a").put(one, digest)
    assert not Meddled.then
    found = contents(ArtifactStore(url, "default", tmp_path / "reader").get(digest))
    assert found in (contents(one), contents(other))


@pytest.mark.parametrize("name", [CONFIG, MODEL, CARD])
def test_a_changed_file_is_never_handed_out(
    store: ArtifactStore, url: str, made: Path, name: str
) -> None:
    digest = write_artifact(made)
    store.put(made, digest)
    size = (made / name).stat().st_size
    _damage(url, digest, name, b"x" * size)
    with pytest.raises(ArtifactRefused, match=name):
        store.get(digest)


def test_a_damaged_artifact_is_healed_by_the_next_put(
    store: ArtifactStore, url: str, made: Path
) -> None:
    digest = write_artifact(made)
    store.put(made, digest)
    _damage(url, digest, MODEL, b"x")
    store.put(made, digest)
    assert contents(store.get(digest)) == contents(made)


def test_a_foreign_file_is_refused_before_it_is_copied(
    store: ArtifactStore, url: str, made: Path
) -> None:
    digest = write_artifact(made)
    store.put(made, digest)
    _damage(url, digest, "evil.py", b"import os")
    with pytest.raises(ArtifactRefused, match=r"evil\.py"):
        store.get(digest)


def test_an_artifact_under_another_digest_is_refused(
    store: ArtifactStore, url: str, made: Path, tmp_path: Path
) -> None:
    write_artifact(made, 1)
    other = write_artifact(tmp_path / "other", 2)
    with pytest.raises(ArtifactRefused, match="is the artifact"):
        store.put(made, other)
    assert not store.exists(other)
    for name, data in contents(made).items():
        _damage(url, other, name, data)
    with pytest.raises(ArtifactRefused):
        store.get(other)


def test_half_an_artifact_does_not_exist(store: ArtifactStore, url: str, made: Path) -> None:
    digest = write_artifact(made)
    _damage(url, digest, MODEL, (made / MODEL).read_bytes())
    assert not store.exists(digest)
    with pytest.raises(ArtifactRefused):
        store.get(digest)
    store.put(made, digest)
    assert contents(store.get(digest)) == contents(made)


def test_what_is_not_an_artifact_is_not_stored(
    store: ArtifactStore, url: str, made: Path, tmp_path: Path
) -> None:
    digest = write_artifact(made)
    (made / MANIFEST).unlink()
    with pytest.raises(ArtifactRefused, match="never finished"):
        store.put(made, digest)
    with pytest.raises(ArtifactRefused):
        store.put(tmp_path / "nothing", digest)
    assert _paths(url) == []


@pytest.mark.parametrize("digest", ["", "sha256:../../etc", "sha256:" + "A" * 64, "x" * 64])
def test_what_is_no_digest_is_refused(store: ArtifactStore, made: Path, digest: str) -> None:
    write_artifact(made)
    for call in (store.get, store.exists, store.delete, lambda d: store.put(made, d)):
        with pytest.raises(ArtifactRefused):
            call(digest)


def test_a_deleted_artifact_is_gone_everywhere(store: ArtifactStore, url: str, made: Path) -> None:
    digest = write_artifact(made)
    store.put(made, digest)
    store.get(digest)
    store.delete(digest)
    store.delete(digest)
    assert not store.exists(digest)
    assert store.digests() == []
    assert _paths(url) == []
    with pytest.raises(ArtifactRefused, match="not in the store"):
        store.get(digest)


def test_tenants_have_their_own_paths(url: str, tmp_path: Path, made: Path) -> None:
    digest = write_artifact(made)
    ArtifactStore(url, "a", tmp_path / "cache").put(made, digest)
    other = ArtifactStore(url, "b", tmp_path / "cache")
    assert not other.exists(digest)
    with pytest.raises(ArtifactRefused):
        other.get(digest)


def test_an_upload_is_kept_and_removed(store: ArtifactStore, url: str, tmp_path: Path) -> None:
    upload = tmp_path / "reviews.csv"
    upload.write_bytes(b"text,label\n" * 1000)
    ref = upload_ref(JOB, 0)
    store.put_file(upload, ref)
    for _ in range(2):
        assert store.get_file(ref, tmp_path / "copy").read_bytes() == upload.read_bytes()
    upload.write_bytes(b"new")
    store.put_file(upload, ref)
    assert store.get_file(ref, tmp_path / "copy").read_bytes() == b"new"
    store.remove(f"uploads/{JOB}")
    assert _paths(url) == []
    with pytest.raises(StoreUnavailable, match="not in the store"):
        store.get_file(ref, tmp_path / "copy")


def test_a_tree_is_replaced_as_a_whole(store: ArtifactStore, url: str, tmp_path: Path) -> None:
    ref, source = checkpoint_ref(JOB), tmp_path / "checkpoint"
    assert not store.get_tree(ref, tmp_path / "none")
    assert not (tmp_path / "none").exists()
    (source / "deep").mkdir(parents=True)
    (source / "deep" / "a.bin").write_bytes(b"1")
    (source / ".half-written").write_bytes(b"?")
    store.put_tree(source, ref)
    (source / "deep" / "a.bin").write_bytes(b"2")
    (source / "b.bin").write_bytes(b"3")
    store.put_tree(source, ref)
    target = tmp_path / "target"
    target.mkdir()
    assert store.get_tree(ref, target)
    assert contents(target) == {"deep/a.bin": b"2", "b.bin": b"3"}
    assert len(_paths(url)) == 3  # the two files and their listing
    store.remove(ref)
    assert _paths(url) == []


def test_a_replaced_writer_changes_no_tree(store: ArtifactStore, tmp_path: Path) -> None:
    ref, source = checkpoint_ref(JOB), tmp_path / "checkpoint"
    source.mkdir()
    for fence, content in ((2, b"new"), (1, b"old"), (10, b"newest"), (9, b"late")):
        (source / "step").write_bytes(content)
        store.put_tree(source, ref, fence=fence)
    assert store.get_tree(ref, tmp_path / "target")
    assert contents(tmp_path / "target") == {"step": b"newest"}


def test_a_tree_without_its_listing_is_passed_over(
    store: ArtifactStore, url: str, tmp_path: Path
) -> None:
    ref, source = checkpoint_ref(JOB), tmp_path / "checkpoint"
    source.mkdir()
    (source / "step").write_bytes(b"whole")
    store.put_tree(source, ref, fence=1)
    filesystem, root = fsspec.core.url_to_fs(url)
    half = f"{root}/default/{ref}/{9:012d}-{9:020d}"
    filesystem.makedirs(half, exist_ok=True)
    filesystem.pipe_file(f"{half}/step", b"half")
    assert store.get_tree(ref, tmp_path / "target")
    assert contents(tmp_path / "target") == {"step": b"whole"}


def test_a_damaged_tree_is_refused_and_nothing_is_left(
    store: ArtifactStore, url: str, tmp_path: Path
) -> None:
    ref, source = checkpoint_ref(JOB), tmp_path / "checkpoint"
    source.mkdir()
    (source / "step").write_bytes(b"whole")
    store.put_tree(source, ref)
    (path,) = [path for path in _paths(url) if path.endswith("/step")]
    fsspec.core.url_to_fs(url)[0].pipe_file(path, b"wrong")
    target = tmp_path / "into" / "target"
    with pytest.raises(ArtifactRefused, match="not what its listing says"):
        store.get_tree(ref, target)
    assert list(target.parent.iterdir()) == []


@pytest.mark.parametrize("ref", ["", "uploads", "uploads/../x", "adapters/sha256/0", "/etc/passwd"])
def test_only_references_of_the_store_are_followed(
    store: ArtifactStore, tmp_path: Path, ref: str
) -> None:
    for call in (store.remove, lambda r: store.get_file(r, tmp_path / "x")):
        with pytest.raises(InvalidRequest):
            call(ref)


def test_what_a_killed_process_left_aside_is_removed_in_time(tmp_path: Path) -> None:
    old, new = tmp_path / ".aside" / "old", tmp_path / ".aside" / "new"
    for folder in (old, new):
        folder.mkdir(parents=True)
        (folder / "file").write_bytes(b"half")
    os.utime(old, (time.time() - 7200,) * 2)
    source = tmp_path / "source"
    source.write_bytes(b"x")
    Folder(tmp_path).put_file(source, "kept")
    assert [path.name for path in (tmp_path / ".aside").iterdir()] == ["new"]


def test_a_store_that_cannot_be_written_is_unavailable(tmp_path: Path, made: Path) -> None:
    (tmp_path / "file").write_bytes(b"not a folder")
    store = ArtifactStore(f"file://{tmp_path}/file", "default", tmp_path / "cache")
    digest = write_artifact(made)
    with pytest.raises(StoreUnavailable, match="failed to store the artifact") as caught:
        store.put(made, digest)
    assert caught.value.retry_after_s


def test_a_url_that_nothing_knows_is_a_clear_error(tmp_path: Path) -> None:
    with pytest.raises(StoreUnavailable, match="nosuch://"):
        ArtifactStore("nosuch://bucket", "default", tmp_path)
