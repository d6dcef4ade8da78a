"""Every fault: how it strikes, and how it is over."""

import contextlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil
from children import children_of
from redis import Redis

from faulty.clock import move
from faulty.memory import busiest_thread, overwrite, standing_still
from faulty.proxy import way_to
from faulty.stage import Stage, wait
from skhost.client import ApiError
from skhost.jobs.queue import entry_id, training_queue
from skhost.keys import Keys
from sktuning import artifact
from sktuning.base import FrozenBase

HELD_S = 10.0  # of faults that last
FULL_S = 45.0  # more than a worker that ends again and again would be started
PARTITION_S = 20.0  # more than a worker's lease
TRIES = 50
STUCK_AFTER_S = 5.0
SETTINGS = {
    "SKHOST_STUCK_AFTER_S": str(STUCK_AFTER_S),
    "SKHOST_CANARY_INTERVAL_S": "0.5",
    "SKHOST_BROKEN_ADAPTER_TTL_S": "2",
    "SKHOST_DTYPE": "float32",
    "SKHOST_THREADS": "1",
    "SKHOST_WORKER_THREADS": "1",
}

Strike = Callable[[Stage], AbstractContextManager[None]]


@dataclass(frozen=True, slots=True)
class Fault:
    """One row of the matrix.

    Attributes:
        strike: the fault is there when its block begins, and over when the block has ended.
        needs: what the service has to be started with: "", "clock" or "disk".
    """

    name: str
    strike: Strike
    needs: str = ""


def _signal(role: str, sig: signal.Signals) -> Strike:
    @contextmanager
    def strike(stage: Stage) -> Iterator[None]:
        stage.process(role).send_signal(sig)
        yield

    return strike


@contextmanager
def _frozen_valkey(stage: Stage) -> Iterator[None]:
    valkey = stage.process("valkey")
    valkey.suspend()
    yield
    time.sleep(HELD_S)
    valkey.resume()


@contextmanager
def _stuck_device(stage: Stage) -> Iterator[None]:
    server = stage.process("server")
    thread = busiest_thread(server.pid)
    for _ in range(TRIES):
        with standing_still(thread):
            if not _answers(stage):  # it held the interpreter's lock, as no stuck device does
                continue
            yield
            wait(lambda: not _lives(server), "the server with a stuck device does not end")
            return
    raise RuntimeError("the device thread always holds the interpreter's lock")


def _answers(stage: Stage) -> bool:
    try:
        stage.client.request("GET", "/livez", timeout=2.0)
    except ApiError as error:
        return error.status is not None
    return True


def _lives(process: psutil.Process) -> bool:
    try:
        return process.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


@contextmanager
def _changed_adapter(stage: Stage) -> Iterator[None]:
    head = artifact.load(stage.artifact_of("mood")).head.weight.numpy()
    if not overwrite(stage.process("server").pid, head.tobytes(), (-head).tobytes()):
        raise RuntimeError("the adapter was not found in the server's memory")
    yield


@contextmanager
def _damaged_base(stage: Stage) -> Iterator[None]:
    model = FrozenBase.load(stage.environment.get("SKHOST_BASE"), dtype="float32").model
    name, weight = next(
        (n, p) for n, p in model.named_parameters() if n.endswith("LayerNorm.weight") and "0" in n
    )
    values = weight.detach().numpy()
    if (values == values[0]).all():  # of a base that was never trained: in every layer alike
        values = model.get_parameter(name.replace("LayerNorm", "dense")).detach().numpy()
    if not overwrite(stage.process("server").pid, values.tobytes(), (values * 8).tobytes()):
        raise RuntimeError("the base was not found in the server's memory")
    yield


@contextmanager
def _no_store(stage: Stage) -> Iterator[None]:
    away = stage.store.rename(stage.store.with_name("store-away"))
    yield
    time.sleep(HELD_S)
    if stage.store.exists():  # something made a folder there: what is in it goes back
        subprocess.run(["cp", "-a", f"{stage.store}/.", str(away)], check=True)
        subprocess.run(["rm", "-rf", str(stage.store)], check=True)
    away.rename(stage.store)


@contextmanager
def _full_disk(stage: Stage) -> Iterator[None]:
    filler = stage.service.data_dir / "filler"
    with contextlib.suppress(OSError), filler.open("wb", buffering=0) as file:
        while True:
            file.write(bytes(1 << 20))
    yield
    time.sleep(FULL_S)
    filler.unlink()


@contextmanager
def _torn_artifact(stage: Stage) -> Iterator[None]:
    file = stage.artifact_of("mood") / "adapter_model.safetensors"
    whole = file.read_bytes()
    file.write_bytes(whole[: len(whole) // 2])
    stage.process("server").kill()  # so that it has to be read
    yield
    time.sleep(HELD_S)
    file.write_bytes(whole)


def _clock(seconds: int) -> Strike:
    @contextmanager
    def strike(stage: Stage) -> Iterator[None]:
        move(Path(stage.environment["MOVED_CLOCK"]), seconds)
        yield
        time.sleep(HELD_S)

    return strike


@contextmanager
def _second_worker(stage: Stage, redis_url: str | None = None) -> Iterator[subprocess.Popen[bytes]]:
    data = stage.service.data_dir
    url = redis_url or f"unix://{stage.valkey_socket}"
    environment = {**os.environ, **stage.environment, "SKHOST_REDIS_URL": url}
    command = [sys.executable, "-m", "skhost", "worker", "--data-dir", str(data)]
    process = subprocess.Popen(command, env=environment)
    try:
        yield process
    finally:
        process.terminate()
        process.wait(60)


@contextmanager
def _two_claims(stage: Stage) -> Iterator[None]:
    """The job's entry comes to a second worker while the first one trains."""
    with ExitStack() as stack:
        client = stack.enter_context(Redis(unix_socket_path=stage.valkey_socket))
        queue = training_queue(client, Keys())
        fields: Any = client.hget(Keys().job(stage.job_id), "dispatch")
        stack.enter_context(_second_worker(stage))
        client.rpush(queue.key, entry_id(stage.job_id, int(fields)))
        yield
        wait(stage.job_is_over, "the job that two workers claimed does not end")


@contextmanager
def _partitioned_worker(stage: Stage) -> Iterator[None]:
    """The worker that trains is cut off from Redis; another one is there."""
    with ExitStack() as stack:
        way = stack.enter_context(way_to(stage.valkey_socket))
        stage.process("worker").suspend()  # it must not take the job
        first = stack.enter_context(_second_worker(stage, way.url))
        trainer = stage.process("trainer")
        trainer.kill()
        wait(lambda: _trains_under(first.pid), "the worker behind the proxy does not train")
        with way.cut():
            stage.process("worker").resume()
            yield
            time.sleep(PARTITION_S)
        wait(stage.job_is_over, "the job of a partitioned worker does not end")


def _trains_under(pid: int) -> bool:
    return any("skhost.jobs.run" in child.line for child in children_of(pid))


FAULTS = {
    "server": Fault("kill -9 of the server", _signal("server", signal.SIGKILL)),
    "worker": Fault("kill -9 of the worker", _signal("worker", signal.SIGKILL)),
    "trainer": Fault("kill -9 of the training", _signal("trainer", signal.SIGKILL)),
    "sigterm": Fault("SIGTERM to the worker", _signal("worker", signal.SIGTERM)),
    "sigterm-server": Fault("SIGTERM to the server", _signal("server", signal.SIGTERM)),
    "valkey": Fault("kill -9 of Valkey", _signal("valkey", signal.SIGKILL)),
    "frozen-valkey": Fault(f"Valkey does not answer for {HELD_S:.0f} s", _frozen_valkey),
    "device": Fault("the device thread stands still", _stuck_device),
    "base": Fault("the base's weights change in memory", _damaged_base),
    "adapter": Fault("an adapter changes in memory", _changed_adapter),
    "store": Fault(f"the store is gone for {HELD_S:.0f} s", _no_store),
    "disk": Fault(f"the disk is full for {FULL_S:.0f} s", _full_disk, "disk"),
    "artifact": Fault(f"a torn artifact and a restart, for {HELD_S:.0f} s", _torn_artifact),
    "clock-forward": Fault("the clock jumps an hour ahead", _clock(3600), "clock"),
    "clock-back": Fault("the clock jumps an hour back", _clock(-3600), "clock"),
    "claims": Fault("two workers claim the job", _two_claims),
    "partition": Fault(f"the worker is cut off for {PARTITION_S:.0f} s", _partitioned_worker),
}
