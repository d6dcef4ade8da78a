"""The client of the HTTP rungs, a process of its own: a plan on stdin, what came of it on stdout.

Sockets and bytes, no HTTP library: requests are ready before the first is sent, and of an answer
only the status and the length are read. Its processor time, which the server's cores give, is told.
"""

import asyncio
import json
import random
import resource
import sys
import time
from collections import deque
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field

NO_ANSWER = 0  # in place of a status: the connection broke
SOCKETS = 8192


@dataclass(frozen=True, slots=True)
class Plan:
    """What is to be sent.

    Attributes:
        requests: path and body of each; they are sent in turn, again and again.
        clients: that wait for an answer before they send the next; None: arrivals by `rate`.
        rate: requests a second, at times of a Poisson process.
        seconds: for which requests are begun, of clients no more than `count`; all are waited for.
    """

    host: str
    port: int
    requests: Sequence[tuple[str, str]]
    seconds: float
    clients: int | None = None
    rate: float = 0.0
    seed: int = 0
    count: int | None = None


@dataclass(slots=True)
class Outcome:
    """What came of it: of each answered request, in the order of the answers.

    Attributes:
        numbers: which of the plan's requests.
        ended_s: since the beginning; `latencies_s`: from when it was due to its answer's end.
        cpu_s: of this process while it sent.
        last: the body that came last.
    """

    numbers: list[int] = field(default_factory=list)
    statuses: list[int] = field(default_factory=list)
    ended_s: list[float] = field(default_factory=list)
    latencies_s: list[float] = field(default_factory=list)
    seconds: float = 0.0
    cpu_s: float = 0.0
    last: str = ""


class Connection(asyncio.Protocol):
    """One connection, one request at a time."""

    def __init__(self) -> None:
        self._transport: asyncio.WriteTransport | None = None
        self._seen = bytearray()
        self._wanted: int | None = None
        self._answer: asyncio.Future[int] | None = None
        self.is_open = False
        self.body = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Called by the loop."""
        assert isinstance(transport, asyncio.WriteTransport)
        self._transport, self.is_open = transport, True

    def connection_lost(self, exc: Exception | None) -> None:
        """Called by the loop."""
        self.is_open = False
        self._end(NO_ANSWER)

    def data_received(self, data: bytes) -> None:
        """Called by the loop."""
        self._seen += data
        if self._wanted is None and (head := self._seen.find(b"\r\n\r\n")) >= 0:
            at = self._seen.lower().index(b"content-length:", 0, head + 2)
            length = int(self._seen[at + 15 : self._seen.index(b"\r\n", at)])
            self._wanted = head + 4 + length
            self._head = head + 4
        if self._wanted is not None and len(self._seen) >= self._wanted:
            self.body = bytes(self._seen[self._head : self._wanted])
            self._end(int(self._seen[9:12]))

    def send(self, request: bytes) -> "asyncio.Future[int]":
        """The status of the answer, once all of it is there."""
        self._seen.clear()
        self._wanted = None
        self._answer = asyncio.get_running_loop().create_future()
        if self._transport is None or not self.is_open:
            self._end(NO_ANSWER)
        else:
            self._transport.write(request)
        return self._answer

    def close(self) -> None:
        """Close it."""
        if self._transport is not None:
            self._transport.close()

    def _end(self, status: int) -> None:
        if self._answer is not None and not self._answer.done():
            self._answer.set_result(status)


class Sender:
    """Carries out one plan."""

    def __init__(self, plan: Plan) -> None:
        self._plan = plan
        self._requests = [_encoded(plan, path, body) for path, body in plan.requests]
        self._idle: deque[Connection] = deque()
        self._next = 0
        self._began = 0.0
        self._outcome = Outcome()

    async def run(self) -> Outcome:
        """Send for as long as is planned, and wait for the rest."""
        plan = self._plan
        if plan.clients is not None:
            self._idle += [await self._connect() for _ in range(plan.clients)]
        cpu_s, self._began = _cpu_s(), time.perf_counter()
        if plan.clients is not None:
            await asyncio.gather(*(self._client() for _ in range(plan.clients)))
        else:
            await self._arrivals()
        self._outcome.seconds = time.perf_counter() - self._began
        self._outcome.cpu_s = _cpu_s() - cpu_s
        for connection in self._idle:
            connection.close()
        return self._outcome

    async def _client(self) -> None:
        end = self._began + self._plan.seconds
        most = sys.maxsize if self._plan.count is None else self._plan.count
        while (now := time.perf_counter()) < end and self._next < most:
            await self._one(now)

    async def _arrivals(self) -> None:
        draw = random.Random(self._plan.seed)
        end = self._began + self._plan.seconds
        due = self._began + draw.expovariate(self._plan.rate)
        tasks: set[asyncio.Task[None]] = set()
        while due < end:
            await asyncio.sleep(max(due - time.perf_counter(), 0))
            tasks.add(task := asyncio.create_task(self._one(due)))
            task.add_done_callback(tasks.discard)
            due += draw.expovariate(self._plan.rate)
        await asyncio.gather(*tasks)

    async def _one(self, due: float) -> None:
        number = self._next % len(self._requests)
        self._next += 1
        connection = self._idle.popleft() if self._idle else await self._connect()
        status = await connection.send(self._requests[number])
        now, outcome = time.perf_counter(), self._outcome
        outcome.numbers.append(number)
        outcome.statuses.append(status)
        outcome.ended_s.append(round(now - self._began, 6))
        outcome.latencies_s.append(round(now - due, 6))
        outcome.last = connection.body.decode(errors="replace")
        self._idle.append(connection if connection.is_open else await self._connect())

    async def _connect(self) -> Connection:
        loop = asyncio.get_running_loop()
        _, connection = await loop.create_connection(Connection, self._plan.host, self._plan.port)
        return connection


def _encoded(plan: Plan, path: str, body: str) -> bytes:
    data = body.encode()
    head = (
        f"POST {path} HTTP/1.1\r\nHost: {plan.host}:{plan.port}\r\n"
        f"Content-Type: application/json\r\nContent-Length: {len(data)}\r\n\r\n"
    )
    return head.encode() + data


def _cpu_s() -> float:
    usage = resource.getrusage(resource.RUSAGE_SELF)
    return usage.ru_utime + usage.ru_stime


def main() -> None:
    """Read the plan, carry it out, write the outcome."""
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(SOCKETS, most), most))
    plan = Plan(**json.load(sys.stdin))
    json.dump(asdict(asyncio.run(Sender(plan).run())), sys.stdout)


if __name__ == "__main__":
    main()
