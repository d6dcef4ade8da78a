"""Folders that change, as generations: each is written under a new name, its listing last.

Where there is no rename, and while readers and a replaced writer are about, the newest whole
generation is what counts.
"""

import hashlib
import json
import shutil
import tempfile
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

from skhost.errors import ArtifactRefused
from skhost.store.place import Place

LISTING = "listing.json"
_MAX_LISTING_BYTES = 4 << 20
_ATTEMPTS = 3


@dataclass(frozen=True, slots=True)
class Entry:
    """One file of a tree."""

    size: int  # bytes
    sha256: str


def put_tree(place: Place, source: Path, key: str, fence: int) -> None:
    """Store the files under `source` as the newest generation of this fence, and drop older ones.

    Generations are ordered by fence before time, so a writer that was replaced changes nothing.
    """
    generation = f"{fence:012d}-{time.time_ns():020d}"
    names = sorted(p.relative_to(source).as_posix() for p in _files(source))
    with tempfile.TemporaryDirectory(prefix="skhost-tree-") as folder:
        aside = Path(folder)
        for name in names:
            (aside / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(source / name, aside / name)
        listing = {name: _entry(aside / name) for name in names}
        text = json.dumps({n: {"size": e.size, "sha256": e.sha256} for n, e in listing.items()})
        (aside / LISTING).write_text(text)
        place.put_folder(aside, [*names, LISTING], f"{key}/{generation}")
    for older in place.children(key):
        if older < generation:
            place.remove(f"{key}/{older}")


def get_tree(place: Place, key: str, target: Path) -> bool:
    """Copy the newest whole generation into `target`, which must be missing or empty.

    Returns:
        False if there is none; `target` is left as it was.

    Raises:
        ArtifactRefused: its files are not what its listing says.
    """
    for _ in range(_ATTEMPTS):
        newest = next(_whole(place, key), None)
        if newest is None:
            return False
        try:
            _fetch(place, newest, target)
        except FileNotFoundError:  # a newer one came, and this one was dropped meanwhile
            continue
        return True
    raise ArtifactRefused(f"{key} changes faster than it can be read")


def _files(source: Path) -> Iterator[Path]:
    """Plain files; a dot before the name means that it is being written."""
    for path in source.rglob("[!.]*"):
        if path.is_file() and not path.is_symlink():
            yield path


def _whole(place: Place, key: str) -> Iterator[str]:
    for generation in reversed(place.children(key)):
        if place.exists(f"{key}/{generation}/{LISTING}"):
            yield f"{key}/{generation}"


def _fetch(place: Place, generation: str, target: Path) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=f".{target.name}.", dir=target.parent) as folder:
        aside = Path(folder) / "tree"
        aside.mkdir()
        place.fetch(f"{generation}/{LISTING}", aside / LISTING, _MAX_LISTING_BYTES)
        for name, entry in _read_listing(aside / LISTING).items():
            (aside / name).parent.mkdir(parents=True, exist_ok=True)
            place.fetch(f"{generation}/{name}", aside / name, entry.size)
            if _entry(aside / name) != entry:
                raise ArtifactRefused(f"{generation}/{name} is not what its listing says")
        (aside / LISTING).unlink()
        aside.replace(target)


def _read_listing(path: Path) -> dict[str, Entry]:
    try:
        values: Mapping[str, Mapping[str, Any]] = json.loads(path.read_bytes())
        listing = {n: Entry(int(v["size"]), str(v["sha256"])) for n, v in values.items()}
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise ArtifactRefused(f"{path.name} cannot be read: {error}") from error
    for name in listing:
        parts = PurePosixPath(name).parts
        if not parts or ".." in parts or name.startswith("/") or "\\" in name:
            raise ArtifactRefused(f"{path.name} names {name!r:.100}")
    return listing


def _entry(path: Path) -> Entry:
    with path.open("rb") as file:
        return Entry(path.stat().st_size, hashlib.file_digest(file, "sha256").hexdigest())
