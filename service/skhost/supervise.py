"""`skhost up`: registry, server and worker as one, each a process of its own.

The supervisor opens the listening socket and keeps it while the server's process is replaced, so
that requests wait for the new one and are not refused.
"""

import asyncio
import contextlib
import ctypes
import logging
import os
import signal
import socket
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass

from skhost.exits import NOT_AGAIN, TRY_LATER
from skhost.server import address_of
from skhost.settings import PREFIX, Settings
from skhost.watch import until_silent

log = logging.getLogger(__name__)

FIRST_PAUSE_S = 0.5  # before a child that died is started again; doubles with each quick death
MAX_PAUSE_S = 30.0
STEADY_S = 30.0  # a child that lived so long starts again with the first pause
MAX_QUICK_DEATHS = 5  # of a child that never became steady, by its own fault: then all stops
SILENT = 2.0  # times the bound of a stuck device, after which a server that answers nothing goes
KILL_MARGIN_S = 10.0  # beyond the drain's time, before a child is killed

_PR_SET_PDEATHSIG = 1


class ChildFailed(Exception):
    """A child process keeps dying."""


@dataclass(frozen=True, slots=True)
class Child:
    """A process to keep running."""

    name: str
    arguments: tuple[str, ...]  # of `python -m skhost`
    pass_fds: tuple[int, ...] = ()
    address: tuple[str, int] | None = None  # where it has to answer


class Supervisor:
    """Starts the children, starts again what dies, and drains all of them at the end."""

    def __init__(self, settings: Settings, listener: socket.socket, redis_url: str) -> None:
        self._settings = settings
        self._listener = listener
        self._environment = child_environment(settings, redis_url)
        self._stopping = asyncio.Event()
        self._running: dict[str, asyncio.subprocess.Process] = {}

    async def run(self) -> None:
        """Keep the children running until SIGTERM or SIGINT; returns when all have ended.

        Raises:
            ChildFailed: a child cannot be kept alive; the others were stopped.
        """
        loop = asyncio.get_running_loop()
        for sig in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(sig, self._on_signal)
        fd = self._listener.fileno()
        children = (
            Child("server", ("serve", "--fd", str(fd)), (fd,), address_of(self._listener)),
            Child("worker", ("worker",)),
        )
        try:
            await self._keep_all(children)
        finally:
            for sig in (signal.SIGTERM, signal.SIGINT):
                loop.remove_signal_handler(sig)

    async def _keep_all(self, children: Sequence[Child]) -> None:
        tasks = [asyncio.create_task(self._keep(child)) for child in children]
        try:
            await asyncio.gather(*tasks)
        finally:
            self._stopping.set()
            await asyncio.gather(*tasks, return_exceptions=True)

    def _on_signal(self) -> None:
        if self._stopping.is_set():  # asked twice: at once
            self._signal_all(signal.SIGKILL)
            return
        log.info("stopping: accepted work is finished first; once more to stop at once")
        self._listener.close()  # the server has its own; once that ends, callers are told at once
        self._stopping.set()

    def _signal_all(self, sig: signal.Signals) -> None:
        for process in self._running.values():
            with contextlib.suppress(ProcessLookupError):
                process.send_signal(sig)

    async def _keep(self, child: Child) -> None:
        quick_deaths = 0
        while not self._stopping.is_set():
            started = time.monotonic()
            code = await self._run_once(child)
            if self._stopping.is_set():
                return
            if code in NOT_AGAIN:
                self._stopping.set()
                raise ChildFailed(f"the {child.name} cannot start")
            lived_s = time.monotonic() - started
            quick_deaths = 0 if lived_s >= STEADY_S else quick_deaths + 1
            if quick_deaths >= MAX_QUICK_DEATHS and code != TRY_LATER:
                self._stopping.set()
                raise ChildFailed(f"the {child.name} ended {quick_deaths} times ({_ending(code)})")
            pause_s = min(FIRST_PAUSE_S * 2 ** max(quick_deaths - 1, 0), MAX_PAUSE_S)
            log.error("the %s ended (%s); starting it again", child.name, _ending(code))
            await self._wait_for_stop(pause_s)

    async def _wait_for_stop(self, timeout_s: float) -> None:
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self._stopping.wait(), timeout_s)

    async def _run_once(self, child: Child) -> int:
        """Run the child until it ends, by itself or because everything stops; its exit code."""
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "skhost", *child.arguments),
            *("--parent", str(os.getpid())),
            env=self._environment,
            pass_fds=child.pass_fds,
            start_new_session=True,  # else Ctrl-C would reach it before the drain
        )
        self._running[child.name] = process
        log.info("started the %s, process %d", child.name, process.pid)
        ended = asyncio.create_task(process.wait())
        stopped = asyncio.create_task(self._stopping.wait())
        silent = asyncio.create_task(self._until_silent(child))
        try:
            await asyncio.wait({ended, stopped, silent}, return_when=asyncio.FIRST_COMPLETED)
            if stopped.done() and not ended.done():
                return await self._stop(child, process, ended)
            if not ended.done():
                process.kill()
            return await ended
        finally:
            stopped.cancel()
            silent.cancel()
            del self._running[child.name]

    async def _until_silent(self, child: Child) -> None:
        if child.address is None:
            await asyncio.Event().wait()
        else:
            await until_silent(*child.address, SILENT * self._settings.stuck_after_s)

    async def _stop(
        self, child: Child, process: asyncio.subprocess.Process, ended: "asyncio.Task[int]"
    ) -> int:
        with contextlib.suppress(ProcessLookupError):
            process.terminate()
        limit_s = self._settings.leave_s + self._settings.drain_timeout_s + KILL_MARGIN_S
        done, _ = await asyncio.wait({ended}, timeout=limit_s)
        if not done:
            log.error("the %s did not end in %.0f s; killing it", child.name, limit_s)
            process.kill()
        return await ended


def child_environment(settings: Settings, redis_url: str) -> dict[str, str]:
    """This process's environment with the settings as they are here."""
    hidden = {"admin_key"}  # dumped as asterisks; the environment has it
    chosen = settings.model_dump(mode="json", exclude_unset=True, exclude=hidden) | {
        "redis_url": redis_url,
        "data_dir": str(settings.data_dir.resolve()),
    }
    variables = {
        f"{PREFIX}{name}".upper(): str(value) for name, value in chosen.items() if value is not None
    }
    return {**os.environ, **variables}


def end_with_parent(parent: int) -> None:
    """Have the kernel send this process SIGTERM when the one that started it is gone."""
    ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)
    if os.getppid() != parent:  # it went before the request was made
        raise SystemExit(f"process {parent}, which started this one, is gone")


def _ending(code: int) -> str:
    return f"signal {signal.Signals(-code).name}" if code < 0 else f"exit code {code}"
