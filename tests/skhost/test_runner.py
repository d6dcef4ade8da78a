import asyncio
import threading
from collections.abc import AsyncIterator
from concurrent.futures import BrokenExecutor

import numpy as np
import pytest
import torch
from making import make_adapter

from skhost.errors import NotReady
from skhost.runner import Runner, device_problem
from sktuning.base import FrozenBase
from sktuning.classify import Classifier
from sktuning.config import Task
from sktuning.data import TextInput
from sktuning.tokens import EncodedRow

pytestmark = pytest.mark.anyio


@pytest.fixture
def classifier(tiny_bert: FrozenBase) -> Classifier:
    return Classifier(tiny_bert)


@pytest.fixture
async def runner(classifier: Classifier) -> AsyncIterator[Runner]:
    runner = Runner(classifier, threads=1)
    yield runner
    await runner.close()


def encoded(classifier: Classifier, text: str, task: Task = Task.SINGLE_LABEL) -> EncodedRow:
    adapter = make_adapter(classifier.base, task)
    row = classifier.encoder.encode([TextInput(text)], adapter.config)[0]
    assert isinstance(row, EncodedRow)
    return row


async def test_a_batch_gets_the_classifier_s_logits(runner: Runner, classifier: Classifier) -> None:
    adapters = [make_adapter(classifier.base, seed=seed) for seed in (1, 2)]
    batch = [(encoded(classifier, "a good text"), adapter) for adapter in adapters]
    logits = await runner.run(batch)
    expected = classifier.logits(batch)
    assert len(logits) == 2
    for seen, wanted in zip(logits, expected, strict=True):
        np.testing.assert_allclose(seen, wanted, rtol=1e-5, atol=1e-6)


async def test_everything_runs_on_one_thread_in_order(runner: Runner) -> None:
    order: list[int] = []

    def note(number: int) -> int:
        order.append(number)
        return threading.get_ident()

    threads = await asyncio.gather(*(runner.call(note, number) for number in range(10)))
    assert order == list(range(10))
    assert set(threads) == {threads[0]}
    assert threads[0] != threading.get_ident()


async def test_the_forward_s_threads_are_set_where_it_runs(runner: Runner) -> None:
    before = torch.get_num_threads()
    assert await runner.call(torch.get_num_threads) == 1
    assert torch.get_num_threads() == before


async def test_a_failure_is_raised_to_its_caller_only(runner: Runner) -> None:
    def fail() -> None:
        raise ArithmeticError("no")

    with pytest.raises(ArithmeticError, match="no"):
        await runner.call(fail)
    assert await runner.call(lambda: 1) == 1


async def test_it_knows_how_long_it_has_been_busy(runner: Runner) -> None:
    begun, go_on = threading.Event(), threading.Event()

    def hold() -> bool:
        begun.set()
        return go_on.wait(10)

    assert runner.busy_s == 0
    held = asyncio.create_task(runner.call(hold))
    await asyncio.to_thread(begun.wait, 10)
    assert runner.is_stuck(after_s=0)
    assert not runner.is_stuck(after_s=60)
    go_on.set()
    assert await held
    assert not runner.is_stuck(after_s=0)


async def test_work_that_nobody_waits_for_any_more_still_counts(runner: Runner) -> None:
    go_on = threading.Event()
    await runner.call(lambda: 1)  # its thread runs
    held = asyncio.create_task(runner.call(go_on.wait, 10))
    await asyncio.sleep(0.01)
    held.cancel()
    with pytest.raises(asyncio.CancelledError):
        await held
    stuck_s = runner.busy_s
    for _ in range(3):  # whoever gives up waiting behind it is no sign of life
        behind = asyncio.create_task(runner.call(lambda: 1))
        await asyncio.sleep(0.01)
        behind.cancel()
    await asyncio.sleep(0.01)
    assert runner.busy_s > stuck_s + 0.03
    go_on.set()
    assert await runner.call(lambda: 1) == 1
    assert not runner.is_stuck(after_s=0)


async def test_a_thread_that_cannot_work_is_lost(classifier: Classifier) -> None:
    runner = Runner(classifier, threads=0)  # which torch refuses, on the device's thread
    with pytest.raises((NotReady, BrokenExecutor)):
        await runner.call(lambda: 1)
    with pytest.raises(NotReady, match="started again"):
        await runner.call(lambda: 1)
    assert "its thread has ended" in (runner.lost or "")
    await runner.close()


async def test_only_the_device_s_thread_has_helpers(classifier: Classifier) -> None:
    runner = Runner(classifier, threads=3)
    assert await runner.call(torch.get_num_threads) == 3
    assert await asyncio.to_thread(torch.get_num_threads) == 1
    assert await runner.call(torch.get_num_threads) == 3
    await runner.close()


def test_a_device_is_asked_whether_it_still_computes() -> None:
    assert device_problem(torch.device("cpu")) is None
    assert "meta tensors" in (device_problem(torch.device("meta")) or "")  # it never could


async def test_an_error_on_a_device_that_works_is_only_an_error(runner: Runner) -> None:
    with pytest.raises(RuntimeError, match="shape"):
        await runner.call(lambda: torch.zeros(2).reshape(3))
    assert runner.lost is None


async def test_closing_drops_what_has_not_begun(classifier: Classifier) -> None:
    runner = Runner(classifier)
    begun, go_on = threading.Event(), threading.Event()

    def hold() -> bool:
        begun.set()
        return go_on.wait(10)

    held = asyncio.create_task(runner.call(hold))
    await asyncio.to_thread(begun.wait, 10)
    dropped = asyncio.create_task(runner.call(lambda: 1))
    await asyncio.sleep(0)
    closing = asyncio.create_task(runner.close())
    with pytest.raises(asyncio.CancelledError):
        await dropped
    go_on.set()
    await closing
    assert await held


async def test_closing_does_not_wait_forever_for_a_stuck_device(
    classifier: Classifier, caplog: pytest.LogCaptureFixture
) -> None:
    runner = Runner(classifier)
    go_on = threading.Event()
    held = asyncio.create_task(runner.call(go_on.wait, 10))
    await asyncio.sleep(0)
    await runner.close(timeout_s=0.01)
    assert "the device thread is stuck" in caplog.text
    go_on.set()
    assert await held


async def test_a_forward_that_others_hold_up_goes_on_with_one_thread(
    classifier: Classifier, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("skhost.runner.alone_time", lambda *_: lambda tokens: 0.0)  # never fast
    looks = iter([1.0, 1.0, 9.0, 0.5])  # alone twice, held up, free
    monkeypatch.setattr("skhost.runner.look_s", lambda: next(looks))
    monkeypatch.setattr("skhost.parallelism.FIRST_PAUSE_S", 0.0)
    runner = Runner(classifier, threads=2)
    adapter = make_adapter(classifier.base)
    batch = [(encoded(classifier, "a good text"), adapter)]
    await runner.adapt(adapter)
    seen = []
    for _ in range(4):
        await runner.run(batch)
        seen.append(await runner.call(torch.get_num_threads))
    assert seen == [2, 2, 1, 2]
    assert runner.threads == 2
    await runner.close()


async def test_one_thread_has_nobody_to_wait_for(runner: Runner, classifier: Classifier) -> None:
    await runner.adapt(make_adapter(classifier.base))
    await runner.run([(encoded(classifier, "a text"), make_adapter(classifier.base))])
    assert runner.threads == 1
