"""An adapter on disk: a folder of JSON and safetensors, written whole or not at all.

Whoever made the folder is not trusted: names, sizes, headers, shapes and values are checked
against limits and against each other, and nothing in it can run.
"""

import os
import shutil
import uuid
from collections.abc import Mapping
from pathlib import Path

import torch
from torch import Tensor

from sktuning import card, golden, served
from sktuning import manifest as records
from sktuning.adapter import Adapter
from sktuning.classify import Classifier
from sktuning.config import AdapterConfig
from sktuning.errors import ArtifactCorrupt, ArtifactError
from sktuning.golden import Golden
from sktuning.header import parse_header
from sktuning.manifest import FILES, FileRecord, Manifest
from sktuning.training.progress import TrainedAdapter

__all__ = [
    "FILES",
    "digest_of",
    "load",
    "load_golden",
    "load_training",
    "read_config",
    "save",
    "self_test",
    "verify",
    "write",
]


def save(directory: Path | str, trained: TrainedAdapter) -> str:
    """Write what a training made; see `write`."""
    text = card.render(trained)
    return write(Path(directory), trained.adapter, trained.golden, text, trained.trainable)


def write(
    directory: Path,
    adapter: Adapter,
    rows: Golden,
    text: str,
    trainable: Mapping[str, Tensor] | None = None,
) -> str:
    """Write the artifact; `directory` appears at once with everything in it.

    An artifact that is there already is replaced.

    Args:
        rows: what the adapter is to be tested by.
        text: the model card.
        trainable: the trained parameters, for further training.

    Returns:
        The digest of the configuration and the served tensors, ``sha256:…``.

    Raises:
        ArtifactError: `directory` is there and is not an artifact.
        ArtifactCorrupt: a tensor is not finite, or of a dtype that is not served.
    """
    config = served.config_bytes(adapter.config)
    model = served.tensor_bytes(served.served_tensors(adapter))
    files = {
        records.CONFIG: config,
        records.MODEL: model,
        records.GOLDEN: rows.to_bytes(),
        records.CARD: text.encode("utf-8", errors="replace"),
    }
    if trainable:
        files[records.TRAINING] = served.tensor_bytes(trainable)
    _check_readable(files)
    digest = served.digest(config, model)
    dtype = golden.dtype_name(adapter.state.tensor.dtype)
    listing = Manifest(digest, dtype, {name: FileRecord.of(data) for name, data in files.items()})
    _write_aside(directory, {**files, records.MANIFEST: listing.to_bytes()})
    return digest


def load(
    directory: Path | str, *, device: torch.device | str = "cpu", dtype: torch.dtype | None = None
) -> Adapter:
    """The adapter in `directory`.

    Args:
        device: where its tensors shall be.
        dtype: of the prompt state; None: as it was written. The head is always float32.

    Raises:
        ArtifactCorrupt: anything about it is not as it should be; says what was seen.
    """
    directory = Path(directory)
    manifest = Manifest.read(directory)
    config = records.read_recorded(directory, records.CONFIG, manifest)
    model = records.read_recorded(directory, records.MODEL, manifest)
    _check_digest(manifest, config, model)
    adapter = served.parse_adapter(config, model)
    state = adapter.state.tensor.dtype
    if manifest.dtype != golden.dtype_name(state):
        raise ArtifactCorrupt(f"the manifest says {manifest.dtype}, the prompt state is {state}")
    return adapter.to(device, dtype or state)


def verify(directory: Path) -> str:
    """Check every file of the artifact, also those that `load` leaves alone.

    Returns:
        The digest.

    Raises:
        ArtifactCorrupt: anything about it is not as it should be; says what was seen.
    """
    manifest = Manifest.read(directory)
    contents = {name: records.read_recorded(directory, name, manifest) for name in manifest.files}
    _check_digest(manifest, contents[records.CONFIG], contents[records.MODEL])
    _check_readable(contents)
    return manifest.digest


def read_config(directory: Path) -> AdapterConfig:
    """The adapter's configuration, without its tensors.

    Raises:
        ArtifactCorrupt: it is missing or broken.
    """
    manifest = Manifest.read(directory)
    return served.parse_config(records.read_recorded(directory, records.CONFIG, manifest))


def digest_of(directory: Path) -> str:
    """The digest, computed again from the configuration and the served tensors.

    Raises:
        ArtifactCorrupt: one of the two cannot be read.
    """
    files = (records.CONFIG, records.MODEL)
    return served.digest(*(records.read_bounded(directory, name) for name in files))


def load_golden(directory: Path) -> Golden:
    """The rows that the adapter is tested by.

    Raises:
        ArtifactCorrupt: they are missing or broken.
    """
    manifest = Manifest.read(directory)
    config = served.parse_config(records.read_recorded(directory, records.CONFIG, manifest))
    data = records.read_recorded(directory, records.GOLDEN, manifest)
    return Golden.parse(data, config, records.GOLDEN)


def load_training(directory: Path) -> dict[str, Tensor]:
    """The tensors to train on from; empty when the artifact has none.

    Raises:
        ArtifactCorrupt: they are broken.
    """
    manifest = Manifest.read(directory)
    if records.TRAINING not in manifest.files:
        return {}
    data = records.read_recorded(directory, records.TRAINING, manifest)
    parse_header(data, records.TRAINING)
    return served.parse_tensors(data, records.TRAINING)


def self_test(directory: Path, adapter: Adapter, classifier: Classifier) -> None:
    """Let `adapter` answer the golden rows of its artifact; runs a forward.

    Raises:
        SelfTestFailed: another answer, or logits further off than the dtype explains.
        BaseMismatch: the adapter belongs to another base.
        ArtifactCorrupt: the golden rows are missing or broken.
    """
    golden.check(load_golden(directory), adapter, classifier)


def _check_readable(files: Mapping[str, bytes]) -> None:
    """What would be refused when read is refused when written."""
    for name, data in files.items():
        if len(data) > records.LIMITS[name]:
            raise ArtifactCorrupt(f"{name} has {len(data)} bytes; at most {records.LIMITS[name]}")
    adapter = served.parse_adapter(files[records.CONFIG], files[records.MODEL])
    Golden.parse(files[records.GOLDEN], adapter.config, records.GOLDEN)
    if records.TRAINING in files:
        parse_header(files[records.TRAINING], records.TRAINING)


def _check_digest(manifest: Manifest, config: bytes, model: bytes) -> None:
    if (seen := served.digest(config, model)) != manifest.digest:
        raise ArtifactCorrupt(f"the manifest says digest {manifest.digest}; the content has {seen}")


def _write_aside(directory: Path, files: Mapping[str, bytes]) -> None:
    """Write into a folder beside `directory` and rename it when all of it is on the disk."""
    directory.parent.mkdir(parents=True, exist_ok=True)
    aside = directory.with_name(f".{directory.name}.{uuid.uuid4().hex}.partial")
    aside.mkdir()
    try:
        for name, data in files.items():  # the manifest is the last of them
            _write_durably(aside / name, data)
        _sync(aside)
        _replace(directory, aside)
        _sync(directory.parent)
    finally:
        shutil.rmtree(aside, ignore_errors=True)


def _replace(directory: Path, aside: Path) -> None:
    """Put `aside` where `directory` is; an artifact that is there goes."""
    if directory.exists() and any(directory.iterdir()):
        _check_replaceable(directory)
        old = aside.with_suffix(".old")
        directory.rename(old)
        aside.rename(directory)
        shutil.rmtree(old, ignore_errors=True)
    else:
        aside.rename(directory)


def _check_replaceable(directory: Path) -> None:
    """Never take away a folder that holds anything but an artifact."""
    try:
        records.list_files(directory)
    except ArtifactCorrupt as error:
        raise ArtifactError(f"{directory} is there and is not an artifact: {error}") from error


def _write_durably(path: Path, data: bytes) -> None:
    with path.open("xb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())


def _sync(directory: Path) -> None:
    descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
