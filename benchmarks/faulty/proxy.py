"""A way to Redis that can be cut: TCP in, the server's unix socket out."""

import asyncio
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress


class Proxy:
    """Passes bytes on while it is open; while it is cut, what is sent goes nowhere.

    Connections stay as they are: nobody is told anything, as when a network swallows packets.
    """

    def __init__(self, socket: str) -> None:
        self._socket = socket
        self._open = asyncio.Event()
        self._passing: set[asyncio.Task[None]] = set()
        self.port = 0

    async def run(self, ready: threading.Event, over: asyncio.Event) -> None:
        """Serve until it is over."""
        self._open.set()
        server = await asyncio.start_server(self._begin, "127.0.0.1", 0)
        self.port = server.sockets[0].getsockname()[1]
        ready.set()
        await over.wait()
        server.close()
        passing = tuple(self._passing)
        for task in passing:
            task.cancel()
        await asyncio.gather(*passing, return_exceptions=True)
        await asyncio.sleep(0)  # aborted transports close their sockets at the next turn

    def set_open(self, is_open: bool) -> None:
        """Cut the way, or open it again; in the loop's thread."""
        if is_open:
            self._open.set()
        else:
            self._open.clear()

    def _begin(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.create_task(self._pass(reader, writer))
        self._passing.add(task)
        task.add_done_callback(self._passing.discard)

    async def _pass(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        ends = [writer]
        try:
            far_reader, far_writer = await asyncio.open_unix_connection(self._socket)
            ends.append(far_writer)
            with suppress(ConnectionError):
                await asyncio.gather(self._copy(reader, far_writer), self._copy(far_reader, writer))
        finally:
            for end in ends:
                end.transport.abort()

    async def _copy(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while data := await reader.read(1 << 16):
            await self._open.wait()
            writer.write(data)
            await writer.drain()
        writer.close()


class Way:
    """A proxy on a thread of its own."""

    def __init__(self, proxy: Proxy, loop: asyncio.AbstractEventLoop) -> None:
        self._proxy = proxy
        self._loop = loop

    @property
    def url(self) -> str:
        """The URL of Redis through the proxy."""
        return f"redis://127.0.0.1:{self._proxy.port}"

    @contextmanager
    def cut(self) -> Iterator[None]:
        """Nothing passes inside the block."""
        self._loop.call_soon_threadsafe(self._proxy.set_open, False)
        try:
            yield
        finally:
            self._loop.call_soon_threadsafe(self._proxy.set_open, True)


@contextmanager
def way_to(socket: str) -> Iterator[Way]:
    """A way to the Redis server at a unix socket."""
    loop, ready, over = asyncio.new_event_loop(), threading.Event(), asyncio.Event()
    proxy = Proxy(socket)

    def run() -> None:
        with asyncio.Runner(loop_factory=lambda: loop) as runner:
            runner.run(proxy.run(ready, over))

    thread = threading.Thread(target=run)
    thread.start()
    ready.wait(10)
    try:
        yield Way(proxy, loop)
    finally:
        loop.call_soon_threadsafe(over.set)
        thread.join()
