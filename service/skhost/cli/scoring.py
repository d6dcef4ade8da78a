"""Many rows through a stream: answers as JSON Lines or tables, and how fast they come."""

import json
import time
from collections import deque
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from skhost.cli.session import Session

SHOW_EVERY_S = 0.1

Json = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Given:
    """One row: what is sent, or why it cannot be."""

    row: Mapping[str, Any]
    error: Mapping[str, str] | None = None


Batches = Iterator[list[Given]]
Answered = tuple[Given, Json]


def score(
    s: Session, adapter: str, batches: Batches, options: dict[str, Any]
) -> Iterator[Answered]:
    """Every row with its answer, in order; what could not be sent is answered with why."""
    sent: deque[Given] = deque()

    def pieces() -> Iterator[bytes]:
        for batch in batches:
            sent.extend(batch)
            lines = [_line(given.row) for given in batch if given.error is None]
            if lines:
                yield b"".join(lines)

    for answer in s.client.classify_stream(adapter, pieces(), **options):
        yield from _unsent(sent)
        del answer["line"]  # of those that were sent
        answer.pop("id", None)
        yield sent.popleft(), answer
    yield from _unsent(sent)


def _unsent(sent: deque[Given]) -> Iterator[Answered]:
    while sent and (error := sent[0].error) is not None:
        yield sent.popleft(), {"error": dict(error)}


def _line(row: Any) -> bytes:
    return json.dumps(row, ensure_ascii=False).encode() + b"\n"


def write_lines(answers: Iterator[Answered], target: Path) -> None:
    """The answers in a file, whole or not at all."""
    part = target.with_name(target.name + ".part")
    try:
        with part.open("wb") as file:
            file.writelines(_line({**given.row, **answer}) for given, answer in answers)
        part.replace(target)
    finally:
        part.unlink(missing_ok=True)


class Moved:
    """How far it is, and how fast; `show` is called now and then."""

    def __init__(self, show: Callable[[int, str], None]) -> None:
        self.num_rows = 0
        self.num_errors = 0
        self._show = show
        self._began = self._shown = time.monotonic()

    def add(self, answer: Json) -> None:
        """One more row has its answer."""
        self.num_rows += 1
        self.num_errors += "error" in answer
        if (now := time.monotonic()) - self._shown >= SHOW_EVERY_S:
            self._shown = now
            self.show()

    def show(self) -> None:
        """The state now."""
        seconds = time.monotonic() - self._began
        self._show(self.num_rows, f"{self.num_rows / max(seconds, 1e-9):,.0f} rows/s")


def counted(answers: Iterator[Answered], moved: Moved) -> Iterator[Answered]:
    """The answers, as they pass by."""
    for given, answer in answers:
        moved.add(answer)
        yield given, answer


@contextmanager
def progress(console: Console, total: int | None, *, is_hidden: bool) -> Iterator[Moved]:
    """A bar with rows a second, on a terminal where nothing else is written meanwhile."""
    columns = (
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("rows, {task.fields[rate]}"),
        TimeElapsedColumn(),
    )
    is_disabled = is_hidden or not console.is_terminal
    with Progress(*columns, console=console, disable=is_disabled) as bar:
        task = bar.add_task("rows", total=total, rate="")
        moved = Moved(lambda done, rate: bar.update(task, completed=done, rate=rate))
        yield moved
        moved.show()
        bar.update(task, total=moved.num_rows)
