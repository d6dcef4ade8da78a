import gzip
import io
import random
import tarfile
from collections.abc import Callable
from pathlib import Path

import pytest
from making import make_trained
from plain_artifact import contents, write_artifact

from skhost.archive import ArchiveLimits, pack, unpack
from skhost.errors import ArtifactRefused
from skhost.store import ArtifactStore
from sktuning import artifact
from sktuning.base import FrozenBase
from sktuning.manifest import CARD, CONFIG, MANIFEST, MODEL


@pytest.fixture
def made(tmp_path: Path) -> Path:
    write_artifact(tmp_path / "made")
    return tmp_path / "made"


@pytest.fixture
def target(tmp_path: Path) -> Path:
    return tmp_path / "imports" / "artifact"


def packed(directory: Path) -> bytes:
    out = io.BytesIO()
    pack(directory, out)
    return out.getvalue()


def refuse(
    archive: bytes, target: Path, match: str | None = None, limits: ArchiveLimits | None = None
) -> None:
    """The archive is refused for this reason, and nothing is left of it."""
    with pytest.raises(ArtifactRefused, match=match):
        unpack(io.BytesIO(archive), target, limits)
    assert list(target.parent.iterdir()) == []


def tarred(*members: tuple[tarfile.TarInfo, bytes]) -> bytes:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w:gz") as archive:
        for member, data in members:
            archive.addfile(member, io.BytesIO(data))
    return out.getvalue()


def member(name: str, data: bytes = b"x", **more: object) -> tuple[tarfile.TarInfo, bytes]:
    info = tarfile.TarInfo(name)
    info.size = len(data)
    for key, value in more.items():
        setattr(info, key, value)
    return info, data


def whole(made: Path) -> list[tuple[tarfile.TarInfo, bytes]]:
    return [member(name, data) for name, data in contents(made).items()]


def test_what_was_packed_is_unpacked(made: Path, target: Path) -> None:
    digest = unpack(io.BytesIO(packed(made)), target)
    assert digest == f"sha256:{1:064x}"
    assert contents(target) == contents(made)
    assert [path.name for path in target.parent.iterdir()] == ["artifact"]


def test_the_same_artifact_gives_the_same_bytes(made: Path, tmp_path: Path) -> None:
    first = packed(made)
    write_artifact(tmp_path / "elsewhere")
    for path in (tmp_path / "elsewhere").iterdir():
        path.chmod(0o600)
    assert packed(tmp_path / "elsewhere") == first


def test_a_trained_adapter_travels_whole(tiny_bert: FrozenBase, tmp_path: Path) -> None:
    digest = artifact.save(tmp_path / "saved", make_trained(tiny_bert))
    store = ArtifactStore(f"file://{tmp_path}/store", "default", tmp_path / "cache")
    store.put(tmp_path / "saved", digest)
    assert unpack(io.BytesIO(packed(store.get(digest))), tmp_path / "imported") == digest
    assert artifact.verify(tmp_path / "imported") == digest
    assert contents(tmp_path / "imported") == contents(tmp_path / "saved")


def test_other_peoples_tar_is_read_too(made: Path, target: Path) -> None:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w:gz", format=tarfile.PAX_FORMAT) as archive:
        for info, data in whole(made):
            info.pax_headers = {"comment": "é" * 200, "mtime": "1.5"}
            archive.addfile(info, io.BytesIO(data))
    unpack(io.BytesIO(out.getvalue()), target)
    assert contents(target) == contents(made)


def test_what_is_not_an_artifact_is_not_packed(made: Path) -> None:
    (made / CARD).write_bytes(b"longer than the manifest says")
    with pytest.raises(ArtifactRefused):
        packed(made)


@pytest.mark.parametrize(
    "name",
    [
        *("../escape", "/tmp/escape", "a/adapter_config.json", "./adapter_config.json", "evil.py"),
        *("..", "", ".", "C:\\x", "MANIFEST.JSON", "manifest.json ", "x" * 200),
    ],
)
def test_other_names_and_paths_are_refused(made: Path, target: Path, name: str) -> None:
    refuse(tarred(*whole(made), member(name)), target, "does not belong in an artifact")


@pytest.mark.parametrize(
    "kind",
    [
        tarfile.SYMTYPE,
        tarfile.LNKTYPE,
        tarfile.CHRTYPE,
        tarfile.BLKTYPE,
        tarfile.FIFOTYPE,
        tarfile.DIRTYPE,
        tarfile.CONTTYPE,
        b"Z",
    ],
)
def test_links_devices_and_folders_are_refused(made: Path, target: Path, kind: bytes) -> None:
    files = [pair for pair in whole(made) if pair[0].name != CARD]
    trick = member(CARD, b"", type=kind, linkname="/etc/passwd")
    refuse(tarred(trick, *files), target, "README.md' in the archive is not a plain file")


def test_a_sparse_file_is_refused(target: Path) -> None:
    headers = {"GNU.sparse.major": "1", "GNU.sparse.minor": "0", "GNU.sparse.realsize": "99"}
    data = b"1\n0\n0\n".ljust(512, b"\0")
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w:gz", format=tarfile.PAX_FORMAT) as archive:
        info, _ = member(MODEL, data, pax_headers=headers)
        archive.addfile(info, io.BytesIO(data))
    refuse(out.getvalue(), target, "not a plain file")


def test_a_name_that_comes_twice_is_refused(made: Path, target: Path) -> None:
    refuse(tarred(*whole(made), member(CONFIG, b"{}")), target, "in the archive twice")


def test_a_file_that_says_it_is_huge_is_refused_before_it_is_read(target: Path) -> None:
    info, _ = member(MODEL)
    info.size = 600 << 20
    header = gzip.compress(info.tobuf(tarfile.USTAR_FORMAT))
    refuse(header, target, f"says that it has {600 << 20} bytes")


def test_an_oversized_header_extension_is_refused_before_it_is_read(target: Path) -> None:
    info = tarfile.TarInfo("pax")
    info.type, info.size = tarfile.XHDTYPE, 500 << 20
    refuse(gzip.compress(info.tobuf(tarfile.USTAR_FORMAT)), target, "header of 524288000 bytes")


@pytest.mark.parametrize(
    ("limits", "match"),
    [
        (ArchiveLimits(compressed_bytes=1000), "more than 1000 bytes"),
        (ArchiveLimits(expanded_bytes=5000), "expands to over 5000 bytes"),
        (ArchiveLimits(file_bytes=1000), "at most 1000"),
    ],
)
def test_each_limit_holds(made: Path, target: Path, limits: ArchiveLimits, match: str) -> None:
    noise = random.Random(0).randbytes(2000)
    refuse(tarred(*whole(made)[:-1], member(CARD, noise)), target, match, limits)


def test_a_bomb_is_refused_by_its_ratio(made: Path, target: Path) -> None:
    bomb = tarred(member(MODEL, bytes(32 << 20)), *whole(made))
    assert len(bomb) < 100_000
    refuse(bomb, target, "expands more than 100 times")


def test_a_second_gzip_stream_is_refused(made: Path, target: Path) -> None:
    refuse(packed(made) + gzip.compress(b"more"), target, "something follows")


def test_what_follows_the_end_of_the_tar_is_refused(made: Path, target: Path) -> None:
    tar = gzip.decompress(packed(made))
    refuse(gzip.compress(tar + bytes(20_000) + b"hidden"), target, "goes on after its end")


def test_zeros_after_the_end_of_the_tar_are_usual(made: Path, target: Path) -> None:
    tar = gzip.decompress(packed(made))
    unpack(io.BytesIO(gzip.compress(tar + bytes(20_000))), target)
    assert contents(target) == contents(made)


def test_a_wrong_checksum_is_refused(made: Path, target: Path) -> None:
    archive = bytearray(packed(made))
    archive[-6] ^= 1
    refuse(bytes(archive), target, "cannot be read")


@pytest.mark.parametrize(
    "archive",
    [
        b"",
        b"PK\3\4",
        b"text",
        b"\x1f\x8b",
        gzip.compress(b"", mtime=0),
        gzip.compress(b"no tar" * 200, mtime=0),
    ],
)
def test_what_is_no_archive_is_refused(target: Path, archive: bytes) -> None:
    refuse(archive, target)


def test_an_archive_cut_off_anywhere_is_refused(made: Path, target: Path) -> None:
    archive = packed(made)
    for length in range(0, len(archive), 37):
        refuse(archive[:length], target)


def test_a_changed_byte_anywhere_is_never_accepted_changed(made: Path, target: Path) -> None:
    tar = bytearray(gzip.decompress(packed(made)))
    generator = random.Random(7)
    for _ in range(300):
        changed = bytearray(tar)
        changed[generator.randrange(len(tar))] ^= 1 << generator.randrange(8)
        out = target.with_name(f"{generator.random()}")
        try:
            unpack(io.BytesIO(gzip.compress(bytes(changed), 1)), out)
        except ArtifactRefused:
            assert not out.exists()
        else:  # it hit a byte that means nothing, such as an owner or padding
            assert contents(out) == contents(made)


@pytest.mark.parametrize(
    ("change", "match"),
    [
        (lambda files: files.pop(MANIFEST), "no manifest"),
        (lambda files: files.pop(MODEL), "the directory has"),
        (lambda files: files.update({CONFIG: files[CONFIG][:-1] + b" "}), "the manifest says"),
        (lambda files: files.update({MANIFEST: b"{" * 60_000}), "manifest.json"),
    ],
)
def test_a_content_that_the_manifest_does_not_state_is_refused(
    made: Path, target: Path, change: Callable[[dict[str, bytes]], object], match: str
) -> None:
    files = contents(made)
    change(files)
    refuse(tarred(*(member(name, data) for name, data in files.items())), target, match)


def test_a_checkpoint_of_peft_is_told_by_its_type(target: Path) -> None:
    config = member(CONFIG, b'{"peft_type": "LORA"}')
    assert unpack(io.BytesIO(tarred(config, member(MODEL))), target) is None
    assert contents(target).keys() == {CONFIG, MODEL}


def test_without_a_type_it_is_an_artifact_that_was_never_finished(target: Path) -> None:
    refuse(tarred(member(CONFIG, b"{}"), member(MODEL)), target, "no manifest.json")
    refuse(tarred(member(CONFIG, b"{"), member(MODEL)), target, "not usable JSON")
    refuse(tarred(member(MODEL)), target, "no manifest.json")


def test_pickled_weights_are_refused_with_the_way_out(target: Path) -> None:
    config = member(CONFIG, b'{"peft_type": "PREFIX_TUNING"}')
    refuse(tarred(config, member("adapter_model.bin")), target, "safe_serialization=True")


def test_a_target_that_is_there_is_kept(made: Path, target: Path) -> None:
    target.mkdir(parents=True)
    (target / "mine").write_bytes(b"kept")
    with pytest.raises(ArtifactRefused, match="there already"):
        unpack(io.BytesIO(packed(made)), target)
    assert contents(target) == {"mine": b"kept"}
    assert [path.name for path in target.parent.iterdir()] == ["artifact"]
