"""From texts and adapter names to answers: resolve, pin, tokenise, submit, decode."""

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager
from dataclasses import dataclass
from typing import Any, TypeVar

import numpy as np

from skhost.answers import AdapterAnswer, ClassifyOptions, Stage, Timings
from skhost.batcher import Batcher, Done, Work
from skhost.errors import DeadlineExceeded, Draining, InvalidRequest
from skhost.metrics import Metrics
from skhost.names import AdapterRef
from skhost.readiness import Readiness
from skhost.records import VersionRecord
from skhost.registries import Registries
from skhost.residency import Residency
from skhost.runner import Runner
from skhost.schedule import Schedule
from sktuning.adapter import Adapter
from sktuning.classify import Classifier
from sktuning.config import AdapterConfig, Task
from sktuning.data import TextInput
from sktuning.decode import DecodeOptions, decode, risk_threshold
from sktuning.errors import InputError, InputTooLong
from sktuning.tokens import EncodedRow

__all__ = ["AdapterAnswer", "ClassifyOptions", "Engine", "Pinned", "Timings"]

TEXT_THREADS = 2  # tokenising and decoding hold the interpreter lock for most of their time
HERE_CHARS = 1000  # of text is so little work that it is done on the loop

Returned = TypeVar("Returned")
Row = tuple[EncodedRow, Adapter]
Pinned = tuple[VersionRecord, Adapter]
RowWork = Work[Row, np.ndarray]
Encoded = Sequence[EncodedRow | InputError]


@dataclass(frozen=True, slots=True)
class _Part:
    """One adapter's share of a request."""

    record: VersionRecord
    adapter: Adapter
    encoded: Encoded
    works: Sequence[RowWork | None]  # None: its input could not be encoded


class Engine:
    """Classifies texts with adapters by name.

    It only uses its parts; whoever made them closes them (see `skhost.serving`).
    """

    def __init__(
        self,
        classifier: Classifier,
        registries: Registries,
        residency: Residency,
        batcher: Batcher[Row, np.ndarray],
        readiness: Readiness,
        runner: Runner,
        metrics: Metrics,
    ) -> None:
        self.classifier = classifier
        self.registries = registries
        self.residency = residency
        self.batcher = batcher
        self.readiness = readiness
        self.runner = runner
        self._metrics = metrics
        self._threads = ThreadPoolExecutor(TEXT_THREADS, "skhost-text")
        self._active = 0
        self._idle = asyncio.Event()
        self._idle.set()
        self._is_draining = False

    async def classify(
        self,
        refs: Sequence[AdapterRef],
        inputs: Sequence[TextInput],
        options: ClassifyOptions,
        schedule: Schedule,
    ) -> list[AdapterAnswer]:
        """Every adapter's answer to every input.

        Raises:
            AdapterNotFound, VersionNotFound, AliasNotFound: no such thing.
            BaseIncompatible, AdapterUnusable, AdapterQuarantined: an adapter cannot answer here.
            NotReady: the device or the base is damaged.
            Overloaded, PayloadTooLarge: too much waits, or would.
            DeadlineExceeded: it took too long; what was not yet run will not be.
            Draining: no new requests are taken.
            InvalidRequest, sktuning.ConfigError: nothing to do, or options that cannot work.
        """
        if not refs or not inputs:
            raise InvalidRequest("name at least one adapter and send at least one text")
        async with self._in_time(schedule.deadline):
            clock = _Clock()
            async with self.pinned(refs, options) as pinned:
                pin = clock.lap("pin")
                self._metrics.stage(pin.name, pin.seconds)
                return await self._answers(pinned, inputs, options, schedule, pin)

    @asynccontextmanager
    async def pinned(
        self, refs: Sequence[AdapterRef], options: ClassifyOptions
    ) -> AsyncIterator[Sequence[Pinned]]:
        """The versions that answer to `refs` now, which stay in memory until the end of the block.

        Raises:
            As `classify`, where an adapter cannot answer, or not as `options` want it.
        """
        async with AsyncExitStack() as pins:
            pinned = await self._pin(refs, pins)
            for _, adapter in pinned:
                risk_threshold(adapter.config, options.decoding.max_risk)  # nobody vouches for it
            yield pinned

    async def classify_pinned(
        self,
        pinned: Sequence[Pinned],
        inputs: Sequence[TextInput],
        options: ClassifyOptions,
        schedule: Schedule,
    ) -> list[AdapterAnswer]:
        """As `classify`, with versions that somebody holds."""
        async with self._in_time(schedule.deadline):
            return await self._answers(pinned, inputs, options, schedule)

    def _check_sound(self, pinned: Sequence[Pinned]) -> None:
        """Whether what these adapters say can be believed, as far as is known by now."""
        self.readiness.check_sound()
        for record, _ in pinned:
            self.residency.check_quarantine(record)

    async def ready(self, timeout_s: float = 5.0) -> None:
        """Return if a request could be answered now; runs a real forward.

        Raises:
            NotReady, Draining: why not.
        """
        if self._is_draining:
            raise Draining("the server is shutting down")
        await self.readiness.check(timeout_s)

    async def drain(self) -> None:
        """Take no new requests and wait until all accepted ones have been answered."""
        self._is_draining = True
        await self._idle.wait()
        await self.batcher.drain()

    async def close(self) -> None:
        """Take no new requests; tokenising and decoding stop."""
        self._is_draining = True
        self._threads.shutdown(wait=False, cancel_futures=True)

    @asynccontextmanager
    async def _in_time(self, deadline: float) -> AsyncIterator[None]:
        """An accepted request that ends when its time does."""
        with self._accepted():
            try:
                async with asyncio.timeout_at(deadline) as limit:
                    yield
            except TimeoutError:
                if not limit.expired():
                    raise
                self._metrics.drop("timeout", 1)
                raise DeadlineExceeded(
                    "the request was not answered within its time; send fewer texts at once or "
                    "try again later"
                ) from None

    @contextmanager
    def _accepted(self) -> Iterator[None]:
        if self._is_draining:
            raise Draining("the server is shutting down; send the request to another replica")
        self.readiness.check_sound()
        self._active += 1
        self._idle.clear()
        try:
            yield
        finally:
            self._active -= 1
            if not self._active:
                self._idle.set()

    async def _answers(
        self,
        pinned: Sequence[Pinned],
        inputs: Sequence[TextInput],
        options: ClassifyOptions,
        schedule: Schedule,
        *before: Stage,
    ) -> list[AdapterAnswer]:
        # what is refused is not tokenised
        self.batcher.check_items(len(pinned) * len(inputs), schedule.priority)
        clock = _Clock()
        is_little = len(pinned) * sum(item.num_chars for item in inputs) <= HERE_CHARS
        aside = _here if is_little else self._in_thread
        encoded = await aside(self._encode, pinned, inputs, options.truncate)
        tokenise = clock.lap("tokenise")
        parts = [
            self._part(record, adapter, rows, schedule)
            for (record, adapter), rows in zip(pinned, encoded, strict=True)
        ]
        done = await self._run([work for part in parts for work in part.works if work])
        clock.lap("run")
        results = await aside(_decode, parts, inputs, options.decoding)
        self._check_sound(pinned)
        decode = clock.lap("decode")
        for stage in (tokenise, decode):
            self._metrics.stage(stage.name, stage.seconds)
        timings = Timings((*before, tokenise, *_stages(done), decode))
        return [self._answer(p, r, timings) for p, r in zip(parts, results, strict=True)]

    async def _pin(self, refs: Sequence[AdapterRef], pins: AsyncExitStack) -> list[Pinned]:
        """Each reference's version, kept in memory until `pins` is closed."""
        records = [await self.registries.find(ref) for ref in refs]
        if len(records) == 1:  # needs no task of its own
            return [(records[0], await pins.enter_async_context(self.residency.pin(records[0])))]
        outcomes = await asyncio.gather(
            *(pins.enter_async_context(self.residency.pin(record)) for record in records),
            return_exceptions=True,  # what was pinned beside a failure is on the stack by then
        )
        adapters: list[Adapter] = []
        for outcome in outcomes:
            if isinstance(outcome, BaseException):
                raise outcome
            adapters.append(outcome)
        return list(zip(records, adapters, strict=True))

    def _encode(
        self,
        pinned: Sequence[Pinned],
        inputs: Sequence[TextInput],
        truncate: bool,
    ) -> list[Encoded]:
        """Each adapter's encoding of the inputs; those that read alike share one."""
        known: dict[tuple[object, ...], Encoded] = {}
        encoded = []
        for _, adapter in pinned:
            key = self._reading(adapter.config)
            if key not in known:
                known[key] = self.classifier.encoder.encode(
                    inputs, adapter.config, truncate=truncate
                )
            encoded.append(known[key])
        return encoded

    def _reading(self, config: AdapterConfig) -> tuple[object, ...]:
        """All that an encoding depends on besides the text."""
        limit = self.classifier.encoder.limit(config)
        kind = (config.task is Task.TOKENS, config.is_pair, config.pair_template)
        return (*kind, config.adds_special_tokens, limit)

    def _part(
        self, record: VersionRecord, adapter: Adapter, encoded: Encoded, schedule: Schedule
    ) -> _Part:
        loop = asyncio.get_running_loop()
        now = loop.time()
        works = [
            Work(
                payload=(row, adapter),
                queue=f"{record.tenant}/{record.name}",
                cost=self.classifier.cost(row, adapter),
                deadline=schedule.deadline,
                submitted_at=now,
                future=loop.create_future(),
                priority=schedule.priority,
            )
            if isinstance(row, EncodedRow)
            else None
            for row in encoded
        ]
        return _Part(record, adapter, encoded, works)

    async def _run(self, works: Sequence[RowWork]) -> list[Done[np.ndarray]]:
        """All results, or the first failure; what is not needed any more is not run."""
        if not works:
            return []
        self.batcher.submit(works)
        futures = [work.future for work in works]
        try:
            await asyncio.wait(futures, return_when=asyncio.FIRST_EXCEPTION)
        finally:
            if not all(future.done() for future in futures):
                self.batcher.discard(works)
            errors = [future.exception() for future in futures if not future.cancelled()]
        for error in errors:
            if error is not None:
                raise error
        return [future.result() for future in futures]

    def _answer(
        self, part: _Part, results: Sequence[dict[str, Any]], timings: Timings
    ) -> AdapterAnswer:
        failed = sum("error" in result for result in results)
        rows = [row for row in part.encoded if isinstance(row, EncodedRow)]
        num_tokens = sum(len(row) for row in rows)
        self._metrics.classified(
            self._label(part.record),
            ok=len(results) - failed,
            failed=failed,
            truncated=sum(row.num_dropped > 0 for row in rows),
            tokens=num_tokens,
        )
        return AdapterAnswer(
            adapter=part.record.name,
            version=part.record.version,
            digest=part.record.digest,
            task=part.adapter.config.task.value,
            results=results,
            num_tokens=num_tokens,
            timings=timings,
        )

    def _label(self, record: VersionRecord) -> str:
        """An adapter's name in the metrics; others' adapters with their tenant."""
        is_home = self.registries.all.get(record.tenant) is self.registries.home
        return record.name if is_home else f"{record.tenant}/{record.name}"

    async def _in_thread(self, fn: Callable[..., Returned], *args: object) -> Returned:
        return await asyncio.get_running_loop().run_in_executor(self._threads, fn, *args)


class _Clock:
    """Times stages that follow each other."""

    def __init__(self) -> None:
        self._last = time.monotonic()

    def lap(self, stage: str) -> Stage:
        """The stage that ends now."""
        before, self._last = self._last, time.monotonic()
        return Stage(stage, before, self._last - before)


def _stages(done: Sequence[Done[np.ndarray]]) -> list[Stage]:
    """The longest wait, then each forward."""
    if not done:
        return []
    last = max(done, key=lambda each: each.queued_s)
    runs = {each.started_at: each for each in done}
    return [
        Stage("queue", last.started_at - last.queued_s, last.queued_s),
        *(Stage("run", at, runs[at].run_s, runs[at].batch_items) for at in sorted(runs)),
    ]


async def _here(fn: Callable[..., Returned], *args: object) -> Returned:
    """As `Engine._in_thread`, at once."""
    return fn(*args)


def _decode(
    parts: Sequence[_Part], inputs: Sequence[TextInput], options: DecodeOptions
) -> list[list[dict[str, Any]]]:
    """Each part's items; what went wrong with one is its item's error."""
    return [
        [
            _item(part.adapter.config, row, work, item, options)
            for row, work, item in zip(part.encoded, part.works, inputs, strict=True)
        ]
        for part in parts
    ]


def _item(
    config: AdapterConfig,
    row: EncodedRow | InputError,
    work: RowWork | None,
    item: TextInput,
    options: DecodeOptions,
) -> dict[str, Any]:
    if isinstance(row, InputError) or work is None:
        assert isinstance(row, InputError)
        return _error(row)
    try:
        return decode(config, row, item, work.future.result().result, options)
    except InputError as error:
        return _error(error)


def _error(error: InputError) -> dict[str, Any]:
    code = "input_too_long" if isinstance(error, InputTooLong) else "invalid_input"
    return {"error": {"code": code, "message": str(error)}}
