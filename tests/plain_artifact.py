"""Artifacts with a true manifest and made-up content, for tests of what never looks inside."""

from pathlib import Path

from sktuning.manifest import CARD, CONFIG, GOLDEN, MANIFEST, MODEL, TRAINING, FileRecord, Manifest


def write_artifact(directory: Path, number: int = 1, card: bytes = b"# A card\n") -> str:
    """Write a whole artifact and return its digest; each number gives another one."""
    contents = {
        CONFIG: b'{"number": %d}' % number,
        MODEL: bytes(range(256)) * 4 + b"%d" % number,
        GOLDEN: b"[]",
        CARD: card,
        TRAINING: b"\0\1\2" * 100,
    }
    digest = f"sha256:{number:064x}"
    files = {name: FileRecord.of(data) for name, data in contents.items()}
    directory.mkdir(parents=True)
    for name, data in contents.items():
        (directory / name).write_bytes(data)
    (directory / MANIFEST).write_bytes(Manifest(digest, "float32", files).to_bytes())
    return digest


def contents(directory: Path) -> dict[str, bytes]:
    """Every file below a folder by its relative path."""
    files = (path for path in directory.rglob("*") if path.is_file())
    return {path.relative_to(directory).as_posix(): path.read_bytes() for path in files}
