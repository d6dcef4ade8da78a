"""Adapters out as archives and in as versions; what is refused leaves nothing behind."""

import gzip
import io
import json
import tarfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from uuid import uuid4

import bases
import httpx
import pytest
from live_server import LiveServer, archive_of, error_of

from skhost.catalog import Catalog
from skhost.records import VersionRecord
from skhost.store import ArtifactStore
from sktuning.base import FrozenBase

HEADERS = {"Content-Type": "application/gzip"}


@pytest.fixture
def name(http: httpx.Client) -> Iterator[str]:
    """A name that no adapter has; whatever gets it is removed."""
    name = f"i-{uuid4().hex[:8]}"
    yield name
    http.delete(f"/adapters/{name}")


@pytest.fixture
def archive(live: LiveServer, tmp_path: Path) -> bytes:
    """An adapter of the server's base."""
    return archive_of(live.base, tmp_path / "a.tar.gz", seed=int(uuid4().hex[:6], 16)).read_bytes()


def send(http: httpx.Client, name: str, content: bytes, query: str = "") -> httpx.Response:
    return http.post(f"/adapters/{name}/import{query}", content=content, headers=HEADERS)


def test_what_was_exported_answers_the_same_after_import(http: httpx.Client, name: str) -> None:
    export = http.get("/adapters/mood@1/export")
    assert export.headers["Content-Type"] == "application/gzip"
    assert 'filename="mood-1.tar.gz"' in export.headers["Content-Disposition"]
    imported = send(http, name, export.content)
    assert imported.status_code == 201
    assert imported.json()["digest"] == export.headers["X-Artifact-Digest"]
    bodies = [
        http.post("/classify", params={"adapter": ref}, json={"texts": ["good", "bad"]}).json()
        for ref in ("mood@1", name)
    ]
    for one, other in zip(*(body["results"] for body in bodies), strict=True):
        assert one["scores"] == pytest.approx(other["scores"], abs=2e-5)


def test_what_is_cleaned_away_while_it_is_published_is_stored_again(
    http: httpx.Client,
    live: LiveServer,
    name: str,
    archive: bytes,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    store = ArtifactStore(live.services.settings.store, "default", tmp_path / "cache")
    publish = Catalog.publish

    async def cleaned(catalog: Catalog, of: str, digest: str, **more: Any) -> VersionRecord:
        assert store.exists(digest)
        store.delete(digest)
        return await publish(catalog, of, digest, **more)

    monkeypatch.setattr(Catalog, "publish", cleaned)
    imported = send(http, name, archive)
    assert imported.status_code == 201
    assert store.get(imported.json()["digest"]).is_dir()


def test_a_new_adapter_answers_and_a_later_import_waits(
    http: httpx.Client, name: str, archive: bytes
) -> None:
    assert send(http, name, archive).json()["state"] == "live"
    second = send(http, name, archive).json()
    assert (second["version"], second["state"]) == (2, "candidate")
    assert second["note"] == "imported; promote it to let it answer"
    assert http.get(f"/adapters/{name}").json()["aliases"] == {"prod": 1}
    third = send(http, name, archive, "?promote=true").json()
    assert http.get(f"/adapters/{name}").json()["aliases"] == {"prod": third["version"]}


def repacked(archive: bytes, change: Callable[[dict[str, bytes]], dict[str, bytes]]) -> bytes:
    """The archive with other files in it."""
    with tarfile.open(fileobj=io.BytesIO(archive)) as tar:
        files = {m.name: tar.extractfile(m).read() for m in tar}  # type: ignore[union-attr]
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w:gz") as tar:
        for path, data in change(files).items():
            member = tarfile.TarInfo(path)
            member.size = len(data)
            tar.addfile(member, io.BytesIO(data))
    return out.getvalue()


def _flipped(files: dict[str, bytes]) -> dict[str, bytes]:
    model = bytearray(files["adapter_model.safetensors"])
    model[-1] ^= 1
    return {**files, "adapter_model.safetensors": bytes(model)}


def _false_digest(files: dict[str, bytes]) -> dict[str, bytes]:
    manifest = json.loads(files["manifest.json"])
    manifest["digest"] = "sha256:" + "0" * 64
    return {**files, "manifest.json": json.dumps(manifest).encode()}


def _without(name: str) -> Callable[[dict[str, bytes]], dict[str, bytes]]:
    return lambda files: {path: data for path, data in files.items() if path != name}


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (_flipped, "adapter_model.safetensors"),
        (_false_digest, "digest"),
        (_without("manifest.json"), "manifest.json"),
        (_without("golden.json"), "golden.json"),
        (lambda files: {**files, "run.py": b"import os"}, "'run.py' does not belong"),
        (lambda files: {**files, "../../escaped": b"x"}, "'../../escaped' does not belong"),
        (lambda files: {**files, "/etc/escaped": b"x"}, "does not belong"),
    ],
)
def test_a_broken_or_hostile_archive_is_refused_and_leaves_nothing(
    http: httpx.Client,
    live: LiveServer,
    name: str,
    archive: bytes,
    change: Callable[[dict[str, bytes]], dict[str, bytes]],
    message: str,
) -> None:
    before = _stored(live)
    error_of(send(http, name, repacked(archive, change)), 422, "artifact_refused", message)
    error_of(http.get(f"/adapters/{name}"), 404, "adapter_not_found")
    assert _stored(live) == before


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"no archive",
        gzip.compress(b"no tar", mtime=0),
        gzip.compress(bytes(30 << 20), mtime=0),
    ],
    ids=["empty", "text", "gzip", "bomb"],
)
def test_what_is_no_archive_is_refused(http: httpx.Client, name: str, content: bytes) -> None:
    error_of(send(http, name, content), 422, "artifact_refused", "the archive")


def test_a_cut_archive_is_refused(http: httpx.Client, name: str, archive: bytes) -> None:
    error_of(send(http, name, archive[: len(archive) // 2]), 422, "artifact_refused")


def test_an_adapter_of_another_base_is_refused_with_both_names(
    http: httpx.Client, live: LiveServer, tmp_path: Path, name: str
) -> None:
    other: FrozenBase = bases.tiny_gpt2_base()
    archive = archive_of(other, tmp_path / "other.tar.gz").read_bytes()
    before = _stored(live)
    answer = send(http, name, archive)
    error_of(answer, 409, "base_mismatch", str(other.identity), str(live.base.identity))
    assert _stored(live) == before


def test_an_archive_beyond_the_limit_is_refused_while_it_arrives(
    http: httpx.Client, name: str
) -> None:
    def chunks() -> Iterator[bytes]:
        for _ in range(300):
            yield bytes(1024)

    answer = http.post(f"/adapters/{name}/import", content=chunks(), headers=HEADERS)
    error_of(answer, 413, "payload_too_large", "262,144 bytes")


def test_a_name_that_nothing_can_have_is_refused_unread(http: httpx.Client, archive: bytes) -> None:
    error_of(send(http, "No!", archive), 422, "invalid_request", "adapter name 'No!'")


def _stored(live: LiveServer) -> list[str]:
    """Every file of the store and of what comes and goes."""
    data = live.services.settings.data_dir
    places = (data / "store", data / "incoming")
    return sorted(str(p) for place in places for p in place.rglob("*") if p.is_file())
