import os
import signal
import socket
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from time import monotonic, sleep

import pytest
from redis import Redis

from skhost.errors import RegistryUnavailable
from skhost.lock_file import try_lock
from skhost.socket_path import MAX_BYTES, socket_path
from skhost.valkey import EmbeddedValkey

OWNER = """
import sys
from pathlib import Path
from skhost.valkey import EmbeddedValkey
server = EmbeddedValkey(Path(sys.argv[1]))
print(server.start(), server.pid, server.is_owner, flush=True)
sys.stdin.read()
server.stop()
"""


def _until(is_done: Callable[[], bool]) -> None:
    deadline = monotonic() + 20
    while not is_done():
        assert monotonic() < deadline, "it did not happen within 20 s"
        sleep(0.01)


def _run_owner(data_dir: Path) -> subprocess.Popen[str]:
    command = [sys.executable, "-c", OWNER, str(data_dir)]
    return subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)


@pytest.fixture
def owner(tmp_path: Path) -> Iterator[subprocess.Popen[str]]:
    with _run_owner(tmp_path) as process:
        yield process
        if process.poll() is None:
            process.communicate("", timeout=30)


def _is_free(data_dir: Path) -> bool:
    """Whether no server works in the directory."""
    lock = try_lock(data_dir / "valkey" / "server.lock")
    if lock is not None:
        lock.close()
    return lock is not None


def _pid(server: EmbeddedValkey) -> int:
    pid = server.pid
    assert pid is not None
    return pid


def _first_words(process: subprocess.Popen[str]) -> tuple[str, int, bool]:
    assert process.stdout is not None
    url, pid, is_owner = process.stdout.readline().split()
    return url, int(pid), is_owner == "True"


def test_it_answers_persists_and_never_listens_on_tcp(tmp_path: Path) -> None:
    with EmbeddedValkey(tmp_path) as server, Redis.from_url(server.url) as client:
        assert client.ping()
        settings = client.config_get(
            "port", "appendonly", "appendfsync", "maxmemory-policy", "dir", "unixsocketperm"
        )
        assert settings == {
            "port": "0",
            "appendonly": "yes",
            "appendfsync": "everysec",
            "maxmemory-policy": "noeviction",
            "dir": str(tmp_path / "valkey"),
            "unixsocketperm": "700",
        }


def test_everything_is_there_after_a_restart_at_the_same_url(tmp_path: Path) -> None:
    urls = []
    for round_ in range(3):
        with EmbeddedValkey(tmp_path) as server, Redis.from_url(server.url) as client:
            urls.append(server.url)
            assert client.llen("rounds") == round_
            client.rpush("rounds", round_)
    assert len(set(urls)) == 1


def test_a_data_directory_may_have_a_strange_name(tmp_path: Path) -> None:
    strange = tmp_path / 'a "b" %20 é\\' / "c"
    with EmbeddedValkey(strange) as server, Redis.from_url(server.url) as client:
        client.set("key", "value")
    assert (strange / "valkey" / "appendonlydir").is_dir()


def test_the_server_has_its_own_session(tmp_path: Path) -> None:
    with EmbeddedValkey(tmp_path) as server:
        assert os.getsid(_pid(server)) == _pid(server) != os.getsid(0)


def test_a_server_that_was_killed_comes_back_with_its_data(tmp_path: Path) -> None:
    with EmbeddedValkey(tmp_path) as server, Redis.from_url(server.url) as client:
        url, pid = server.url, _pid(server)
        client.set("key", "value")
        # everysec may lose a second; what was written to the file must survive a kill
        _until(lambda: client.info("persistence")["aof_pending_bio_fsync"] == 0)
        os.kill(pid, signal.SIGKILL)
        _until(lambda: not server.is_running())
        assert server.start() == url
        assert server.pid != pid
        assert client.get("key") == b"value"


def test_the_second_one_joins_and_stops_nothing(tmp_path: Path) -> None:
    with EmbeddedValkey(tmp_path) as first:
        with EmbeddedValkey(tmp_path) as second:
            assert (first.is_owner, second.is_owner) == (True, False)
            assert (second.url, second.pid) == (first.url, first.pid)
        assert first.is_running()
    assert not first.is_running()


def test_a_process_joins_the_server_of_another_process(
    tmp_path: Path, owner: subprocess.Popen[str]
) -> None:
    url, pid, is_owner = _first_words(owner)
    assert is_owner
    with EmbeddedValkey(tmp_path) as joined:
        assert (joined.url, joined.pid, joined.is_owner) == (url, pid, False)
    with Redis.from_url(url) as client:
        assert client.ping()


def test_the_server_of_a_killed_process_is_adopted_and_stopped(
    tmp_path: Path, owner: subprocess.Popen[str]
) -> None:
    url, pid, _ = _first_words(owner)
    with Redis.from_url(url) as client:
        client.set("key", "kept")
    owner.kill()
    owner.wait()
    with EmbeddedValkey(tmp_path) as adopted:
        assert (adopted.pid, adopted.is_owner) == (pid, True)
        with Redis.from_url(adopted.url, decode_responses=True) as client:
            assert client.get("key") == "kept"
    assert _is_free(tmp_path)


def test_many_that_start_at_once_get_one_server(tmp_path: Path) -> None:
    processes = [_run_owner(tmp_path) for _ in range(4)]
    try:
        found = [_first_words(process) for process in processes]
        assert len({(url, pid) for url, pid, _ in found}) == 1
        assert sum(is_owner for *_, is_owner in found) == 1
    finally:
        for process in processes:
            process.communicate("", timeout=30)
    assert [process.returncode for process in processes] == [0] * 4
    assert _is_free(tmp_path)


def test_a_server_that_cannot_start_says_why(tmp_path: Path) -> None:
    manifest = tmp_path / "valkey" / "appendonlydir" / "appendonly.aof.manifest"
    manifest.parent.mkdir(parents=True)
    manifest.write_text("this is no manifest\n")
    server = EmbeddedValkey(tmp_path)
    with pytest.raises(RegistryUnavailable, match=r"ended with status 1\b.*AOF manifest"):
        server.start()
    assert not server.is_owner


def test_a_server_that_hangs_is_a_bounded_wait(tmp_path: Path) -> None:
    with EmbeddedValkey(tmp_path) as server:
        pid = _pid(server)
        os.kill(pid, signal.SIGSTOP)
        impatient = EmbeddedValkey(tmp_path, start_timeout_s=0.1)
        with pytest.raises(RegistryUnavailable, match="does not answer"):
            impatient.start()
        os.kill(pid, signal.SIGCONT)


def test_a_server_that_will_not_end_is_killed(tmp_path: Path) -> None:
    server = EmbeddedValkey(tmp_path, stop_timeout_s=0.2)
    server.start()
    os.kill(_pid(server), signal.SIGSTOP)
    server.stop()
    assert _is_free(tmp_path)


def test_an_adopted_server_that_will_not_end_is_killed(
    tmp_path: Path, owner: subprocess.Popen[str]
) -> None:
    _, pid, _ = _first_words(owner)
    owner.kill()
    owner.wait()
    server = EmbeddedValkey(tmp_path, stop_timeout_s=0.2)
    server.start()
    os.kill(pid, signal.SIGSTOP)
    server.stop()
    assert _is_free(tmp_path)


@pytest.mark.parametrize("record", ["", "[]", "{}", '{"socket": 7}'])
def test_a_damaged_record_is_written_again(tmp_path: Path, record: str) -> None:
    (tmp_path / "valkey").mkdir()
    (tmp_path / "valkey" / "server.json").write_text(record)
    with EmbeddedValkey(tmp_path) as server:
        assert server.is_running()


def test_the_url_is_not_known_before_the_start(tmp_path: Path) -> None:
    server = EmbeddedValkey(tmp_path)
    with pytest.raises(RegistryUnavailable):
        _ = server.url
    server.stop()


def test_a_socket_path_is_short_whatever_the_directory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    deep = tmp_path.joinpath(*["d" * 50] * 4)
    deep.mkdir(parents=True)
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(deep))
    path = socket_path(deep)
    assert len(os.fsencode(path)) <= MAX_BYTES
    assert not path.is_relative_to(deep)
    assert socket_path(deep) == path != socket_path(tmp_path)
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(path))
        path.unlink()


def test_a_folder_that_others_can_enter_is_not_used(monkeypatch: pytest.MonkeyPatch) -> None:
    with tempfile.TemporaryDirectory(dir="/tmp") as place:
        folder = Path(place) / f"skhost-{os.getuid()}"
        folder.mkdir()
        monkeypatch.setenv("XDG_RUNTIME_DIR", place)
        folder.chmod(0o777)
        assert socket_path(Path("/data")).parent != folder
        folder.chmod(0o700)
        assert socket_path(Path("/data")).parent == folder
