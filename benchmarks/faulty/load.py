"""Clients that classify without a pause, send again what was refused, and judge every answer.

A request is *lost* when it was sent whole and nothing came back. One that was refused (503 or 429
with `Retry-After`), lost, or whose connection was not accepted is sent again; it has *failed* when
it was not answered within GIVE_UP_S. An answer is *wrong* when it is not what the adapter said
before any fault, *stale* when another version than the one expected gave it.
"""

import http.client
import json
import random
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any
from urllib.parse import urlsplit

from skhost.client import Client

CLIENTS = 8
GIVE_UP_S = 120.0
TIMEOUT_S = 60.0  # of one attempt
SLOW_S = 3.0  # an answer that takes longer is not normal
PAUSE_S = 0.2  # before a request is sent again, whatever `Retry-After` says: what is seen is finer
TOLERANCE = 1e-3  # of probabilities: another batch, another order of additions
TEXTS = (
    "the app crashes whenever I open the settings",
    "you charged me twice this month",
    "a wonderful film",
    "where is my parcel",
)
LABELS = {"mood": ("good", "bad"), "topic": ("money", "parcel", "app"), "tone": ("kind", "rude")}


class Outcome(StrEnum):
    """How one attempt at a request ended."""

    RIGHT = "right"
    WRONG = "wrong"
    STALE = "stale"
    REFUSED = "refused"  # 503 or 429 with Retry-After
    REJECTED = "rejected"  # any other answer
    LOST = "lost"  # sent, and nothing came back
    NOT_ACCEPTED = "not accepted"  # no connection: nothing was sent


@dataclass(frozen=True, slots=True)
class Truth:
    """What an adapter answers when all is well."""

    version: int
    scores: Mapping[str, Mapping[str, float]]  # text → label → probability

    def judge(self, text: str, body: Mapping[str, Any]) -> Outcome:
        """Whether this is its answer to `text`."""
        if body["version"] != self.version:
            return Outcome.STALE
        known, seen = self.scores[text], body["results"][0].get("scores", {})
        near = known.keys() == seen.keys() and all(
            abs(known[label] - seen[label]) <= TOLERANCE for label in known
        )
        return Outcome.RIGHT if near else Outcome.WRONG


@dataclass(slots=True)
class Tally:
    """What the clients saw; they share it under its lock."""

    sent: int = 0  # attempts that reached a server
    outcomes: dict[Outcome, int] = field(default_factory=dict)
    failed: int = 0  # requests without an answer in time
    others: list[str] = field(default_factory=list)  # what was rejected or wrong
    last_trouble_at: float = 0.0  # monotonic
    lock: threading.Lock = field(default_factory=threading.Lock)

    def count(self, outcome: Outcome, what: str = "", seconds: float = 0.0) -> None:
        """One attempt has ended, after so long."""
        with self.lock:
            self.sent += outcome is not Outcome.NOT_ACCEPTED
            self.outcomes[outcome] = self.outcomes.get(outcome, 0) + 1
            if outcome is not Outcome.RIGHT or seconds > SLOW_S:
                self.last_trouble_at = time.monotonic()
            if what and len(self.others) < 5:
                self.others.append(what[:200])

    def of(self, *outcomes: Outcome) -> int:
        """How many attempts ended so."""
        with self.lock:
            return sum(self.outcomes.get(outcome, 0) for outcome in outcomes)


class Load:
    """Clients on threads, from `start` to `stop`.

    Args:
        url: of the server, or what says where the next connection goes.
    """

    def __init__(self, url: str | Callable[[], str], truths: Mapping[str, Truth]) -> None:
        self.tally = Tally()
        self._next_url = url if callable(url) else lambda: url
        self._truths = truths
        self._over = threading.Event()
        self._threads = [threading.Thread(target=self._run, args=(n,)) for n in range(CLIENTS)]

    @contextmanager
    def running(self) -> Iterator[Tally]:
        """Load until the end of the block."""
        for thread in self._threads:
            thread.start()
        try:
            yield self.tally
        finally:
            self._over.set()
            for thread in self._threads:
                thread.join()

    def _run(self, seed: int) -> None:
        chosen, connection = random.Random(seed), self._connection()
        while not self._over.is_set():
            adapter, text = chosen.choice([*self._truths]), chosen.choice(TEXTS)
            connection = self._until_answered(connection, adapter, text)
        connection.close()

    def _until_answered(
        self, connection: http.client.HTTPConnection, adapter: str, text: str
    ) -> http.client.HTTPConnection:
        deadline = time.monotonic() + GIVE_UP_S
        while True:
            if connection.sock is None:  # new, or closed after the last answer
                connection = self._connection()
            began = time.monotonic()
            outcome, what = self._attempt(connection, adapter, text)
            self.tally.count(outcome, what, time.monotonic() - began)
            if outcome in {Outcome.RIGHT, Outcome.WRONG, Outcome.STALE}:
                return connection
            if outcome in {Outcome.LOST, Outcome.NOT_ACCEPTED}:
                connection.close()
            if self._over.is_set():
                return connection
            if time.monotonic() > deadline:
                with self.tally.lock:
                    self.tally.failed += 1
                return connection
            self._over.wait(PAUSE_S)

    def _attempt(
        self, connection: http.client.HTTPConnection, adapter: str, text: str
    ) -> tuple[Outcome, str]:
        try:
            if connection.sock is None:
                connection.connect()
        except OSError as error:
            return Outcome.NOT_ACCEPTED, f"not accepted: {error!r}"
        try:
            body = json.dumps({"text": text})
            headers = {"Content-Type": "application/json"}
            connection.request("POST", f"/classify?adapter={adapter}", body, headers)
            answer = connection.getresponse()
            said = answer.read()
        except (OSError, http.client.HTTPException) as error:
            return Outcome.LOST, f"lost: {error!r}"
        if answer.status == 200:
            outcome = self._truths[adapter].judge(text, json.loads(said))
            return outcome, "" if outcome is Outcome.RIGHT else said.decode()
        if answer.status in {429, 503} and answer.getheader("Retry-After"):
            return Outcome.REFUSED, ""
        return Outcome.REJECTED, f"{answer.status} {said.decode()}"

    def _connection(self) -> http.client.HTTPConnection:
        url = urlsplit(self._next_url())
        assert url.hostname is not None
        return http.client.HTTPConnection(url.hostname, url.port, timeout=TIMEOUT_S)


def make_adapters(client: Client) -> dict[str, Truth]:
    """Adapters of label names, unless they are there, and what they answer."""
    known = {adapter["name"] for adapter in client.adapters()["adapters"]}
    for name, labels in LABELS.items():
        if name not in known:
            client.create(name, labels, {})
    return {name: _truth(client, name, TEXTS) for name in LABELS}


def _truth(client: Client, name: str, texts: Sequence[str]) -> Truth:
    answer = client.classify(name, texts=texts)
    pairs = zip(texts, answer["results"], strict=True)
    return Truth(answer["version"], {text: item["scores"] for text, item in pairs})
