from pathlib import Path
from uuid import uuid4

from skhost.jobs.checkpoints import Checkpoints
from skhost.settings import Settings
from skhost.store import ArtifactStore


def _attempt(machine: Path, url: str, token: int) -> Checkpoints:
    settings = Settings(data_dir=machine, store_url=url)
    store = ArtifactStore(settings.store, settings.tenant, machine / "cache")
    return Checkpoints(settings, store, "job1", token)


def _write(checkpoints: Checkpoints, text: str) -> None:
    checkpoints.path.mkdir(exist_ok=True)
    (checkpoints.path / "state").write_text(text)


def _read(checkpoints: Checkpoints) -> str | None:
    file = checkpoints.path / "state"
    return file.read_text() if file.exists() else None


def test_another_machine_goes_on_from_the_stores_copy(tmp_path: Path) -> None:
    url = f"memory://{uuid4().hex}"
    first = _attempt(tmp_path / "a", url, 1)
    first.fetch()
    assert _read(first) is None
    _write(first, "step 10")
    first.mirror(at_once=True)
    second = _attempt(tmp_path / "b", url, 2)
    second.fetch()
    assert _read(second) == "step 10"
    _write(second, "step 20")
    second.mirror(at_once=True)
    third = _attempt(tmp_path / "a", url, 3)  # its own copy is older than the store's
    third.fetch()
    assert _read(third) == "step 20"


def test_the_same_machine_goes_on_from_its_own_newer_copy(tmp_path: Path) -> None:
    url = f"memory://{uuid4().hex}"
    first = _attempt(tmp_path, url, 1)
    first.fetch()
    _write(first, "step 10")
    first.mirror(at_once=True)
    _write(first, "step 15")
    first.mirror()  # not due yet
    second = _attempt(tmp_path, url, 2)
    second.fetch()
    assert _read(second) == "step 15"


def test_a_replaced_attempt_does_not_overwrite_the_stores_copy(tmp_path: Path) -> None:
    url = f"memory://{uuid4().hex}"
    old, new = _attempt(tmp_path / "a", url, 1), _attempt(tmp_path / "b", url, 2)
    old.fetch()
    new.fetch()
    _write(new, "step 20")
    new.mirror(at_once=True)
    _write(old, "step 11")
    old.mirror(at_once=True)
    third = _attempt(tmp_path / "c", url, 3)
    third.fetch()
    assert _read(third) == "step 20"


def test_after_the_end_nothing_is_left(tmp_path: Path) -> None:
    url = f"memory://{uuid4().hex}"
    first = _attempt(tmp_path / "a", url, 1)
    first.fetch()
    _write(first, "step 10")
    first.mirror(at_once=True)
    first.clear()
    assert list((tmp_path / "a" / "checkpoints").iterdir()) == []
    second = _attempt(tmp_path / "b", url, 2)
    second.fetch()
    assert _read(second) is None


def test_a_local_store_needs_no_copy(tmp_path: Path) -> None:
    url = f"file://{tmp_path}/store"
    first = _attempt(tmp_path, url, 1)
    first.fetch()
    _write(first, "step 10")
    first.mirror(at_once=True)
    assert not (tmp_path / "store").exists()
    second = _attempt(tmp_path, url, 5)
    second.fetch()
    assert _read(second) == "step 10"
