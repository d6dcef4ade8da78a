"""The importer: archives of artifacts and of PEFT checkpoints, and all that they hold."""

import gzip
import io
import json
import random
import shutil
import tarfile
import tempfile
import zlib
from collections.abc import Iterable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

import peft_checkpoints
from making import make_trained

from fuzzing.target import Mutate
from skhost.archive import ArchiveLimits, pack, unpack
from skhost.errors import ArtifactRefused
from sktuning import artifact, served
from sktuning.classify import Classifier
from sktuning.config import Method, Task
from sktuning.errors import ArtifactError, BaseMismatch, ConfigError, DataError, SKTuningError
from sktuning.manifest import CONFIG, FILES, MANIFEST, MODEL, FileRecord
from sktuning.peft.adapting import convert
from sktuning.peft.checkpoint import read
from sktuning.peft.options import ImportOptions

_LIMITS = ArchiveLimits(compressed_bytes=1 << 20, expanded_bytes=16 << 20, file_bytes=8 << 20)
_HEADER_LENGTH = 8
_NAMES = (*sorted(FILES), "adapter_model.bin", "../x", "/etc/x", "a/b", "x" * 300, "\udcff", ".")
_VALUES: tuple[Any, ...] = (
    *(None, True, 0, 1, -1, 2**40, 2**63, 10**400, 1e308, 0.5, "", "x" * 5000, "\0", "\ud800"),
    *("F64", "F32", "I8", "sk-prompt", "sk-prefix", "tokens", "regression", "PREFIX_TUNING"),
    *([], [0], [0, 0], [2**40] * 2, [-1], [1] * 9, {}, {"a": {}}, [[]], [None], ["a", "a"]),
)
_TYPES = (tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.DIRTYPE, tarfile.FIFOTYPE, tarfile.CHRTYPE)


class Artifacts:
    """Archives with a manifest, as an import takes them: unpacked, checked, loaded and tested."""

    def __init__(self) -> None:
        self._stock = peft_checkpoints.stock("bert")
        self.classifier = Classifier(self._stock.base)

    def seeds(self) -> Iterable[bytes]:
        """An artifact of each task, and of each kind of prompt."""
        for seed, task in enumerate(Task):
            for method in Method:
                trained = make_trained(self.classifier.base, task, seed=seed, method=method)
                with tempfile.TemporaryDirectory() as folder:
                    directory = Path(folder) / "artifact"
                    artifact.save(directory, trained)
                    out = io.BytesIO()
                    pack(directory, out)
                yield out.getvalue()

    def mutate(self, data: bytes, rng: random.Random, mutate: Mutate) -> bytes:
        """In the archive's bytes, its members or what they hold; then mostly a true manifest."""
        if rng.random() < 0.05:
            return mutate(data)
        inner = _inflated(data)
        files = _members(inner)
        if not files or rng.random() < 0.1:
            return gzip.compress(mutate(inner), 1, mtime=0)
        for _ in range(rng.randint(1, 2)):
            name = rng.choice(list(files))
            files[name] = _changed(name, files[name], rng, mutate)
        if rng.random() < 0.05:
            files[rng.choice(_NAMES)] = files.pop(rng.choice(list(files)))
        if MANIFEST in files and rng.random() < 0.8:
            files[MANIFEST] = _true_manifest(files)
        return _archive(files, rng)

    def read(self, path: Path) -> bool:
        """What was published could be served; anything else is refused as such."""
        folder = path.with_name("unpacked")
        try:
            with path.open("rb") as file:
                digest = unpack(file, folder, _LIMITS)
            if digest is None:
                return self._import(folder, path)
            return self._load(folder)
        except ArtifactRefused:
            return False
        finally:
            shutil.rmtree(folder, ignore_errors=True)

    def _load(self, folder: Path) -> bool:
        try:
            artifact.read_config(folder)
            artifact.verify(folder)
            artifact.load_training(folder)
            adapter = artifact.load(folder)
            artifact.self_test(folder, adapter, self.classifier)
        except (ArtifactError, BaseMismatch):
            return False
        return True

    def _import(self, folder: Path, path: Path) -> bool:
        choice = random.Random(zlib.crc32(path.read_bytes()))
        labels = choice.choice(((), ("a", "b", "c"), ("a", "a", "b"), ("x",)))
        task = choice.choice((None, None, *Task))
        target = path.with_name("converted")
        try:
            options = ImportOptions(labels, task, choice.random() < 0.2)
            convert(read(folder), self.classifier, options).save(target)
            artifact.verify(target)
        except (ArtifactError, BaseMismatch, ConfigError, DataError):
            return False
        finally:
            shutil.rmtree(target, ignore_errors=True)
        return True


class Checkpoints(Artifacts):
    """Archives of PEFT checkpoints; the first thing that tells them is the missing manifest."""

    def seeds(self) -> Iterable[bytes]:
        """A checkpoint of each kind that can become an adapter."""
        for kind in peft_checkpoints.KINDS:
            for task in ("SEQ_CLS", "TOKEN_CLS"):
                with tempfile.TemporaryDirectory() as folder:
                    tuned = peft_checkpoints.stock("bert", task).tuned(kind)
                    saved = peft_checkpoints.save(tuned, Path(folder))
                    names = (CONFIG, MODEL)
                    yield _archive({n: (saved / n).read_bytes() for n in names}, random.Random(0))


def _inflated(data: bytes) -> bytes:
    try:
        inflate = zlib.decompressobj(wbits=16 + zlib.MAX_WBITS)
        return inflate.decompress(data, _LIMITS.expanded_bytes)
    except zlib.error:
        return data


def _members(data: bytes) -> dict[str, bytes]:
    files = {}
    with suppress(Exception), tarfile.open(fileobj=io.BytesIO(data)) as archive:
        for member in archive:
            content = archive.extractfile(member) if member.isreg() else None
            if content is not None:
                files[member.name] = content.read()
    return files


def _archive(files: Mapping[str, bytes], rng: random.Random) -> bytes:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w", format=rng.choice((0, 1, 2))) as archive:
        for name, data in files.items():
            _add(archive, name, data, rng)
    return gzip.compress(out.getvalue(), 1, mtime=0)


def _add(archive: tarfile.TarFile, name: str, data: bytes, rng: random.Random) -> None:
    member = tarfile.TarInfo(name)
    member.size = len(data)
    if rng.random() < 0.01:
        member.type, member.linkname, member.size = rng.choice(_TYPES), "/etc/passwd", 0
    if rng.random() < 0.01:
        member.pax_headers = {"path": rng.choice(_NAMES), "size": str(rng.choice((1, 2**70, -1)))}
    with suppress(ValueError):  # a name that this kind of archive cannot spell
        archive.addfile(member, io.BytesIO(data))


def _changed(name: str, data: bytes, rng: random.Random, mutate: Mutate) -> bytes:
    if rng.random() < 0.3:
        return mutate(data)
    if name.endswith(".json"):
        return _changed_json(data, rng)
    if name.endswith(".safetensors"):
        return _changed_tensors(data, rng, mutate)
    return mutate(data)


def _changed_json(data: bytes, rng: random.Random) -> bytes:
    try:
        value = json.loads(data)
    except (ValueError, RecursionError):
        return data
    _change(value, rng)
    with suppress(ValueError):
        return json.dumps(value).encode()
    return data


def _change(value: Any, rng: random.Random) -> None:
    """Another value, key or length somewhere within."""
    while True:
        if not isinstance(value, dict | list) or not value:
            return
        key = rng.choice(list(value) if isinstance(value, dict) else range(len(value)))
        if isinstance(value[key], dict | list) and value[key] and rng.random() < 0.8:
            value = value[key]
            continue
        kind = rng.randrange(8)
        if kind == 0:
            del value[key]
        elif kind == 1 and isinstance(value, list):
            value.extend(value[: rng.choice((1, 2, 500))])
        elif kind == 2 and isinstance(value, dict):
            value[str(rng.choice(_VALUES))] = value[key]
        elif kind == 3 and type(value[key]) in (int, float):
            value[key] += rng.choice((-1, 1, 0.5, 1e6))
        else:
            value[key] = rng.choice(_VALUES)
        return


def _changed_tensors(data: bytes, rng: random.Random, mutate: Mutate) -> bytes:
    length = int.from_bytes(data[:_HEADER_LENGTH], "little")
    header, body = data[_HEADER_LENGTH : _HEADER_LENGTH + length], data[_HEADER_LENGTH + length :]
    if rng.random() < 0.2:
        body = mutate(body)
    else:
        header = _changed_json(header, rng)
    claimed = len(header) if rng.random() < 0.95 else rng.choice((0, 1, 2**20 + 1, 2**63))
    return claimed.to_bytes(_HEADER_LENGTH, "little") + header + body


def _true_manifest(files: Mapping[str, bytes]) -> bytes:
    """The manifest with what is true of the files, and the rest as it says."""
    try:
        values = json.loads(files[MANIFEST])
        records = {name: FileRecord.of(data) for name, data in files.items() if name != MANIFEST}
        values["files"] = {n: {"sha256": r.sha256, "size": r.size} for n, r in records.items()}
        values["digest"] = served.digest(files[CONFIG], files[MODEL])
        return json.dumps(values).encode()
    except (ValueError, TypeError, KeyError, RecursionError, SKTuningError):
        return files[MANIFEST]
