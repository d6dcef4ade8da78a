"""The worker: takes training jobs from the queue, one at a time, and watches over them.

Knows RQ, processes and signals; never imports torch: each job runs in a process of its own.
"""

import logging
import os
import signal
import socket
from time import time
from typing import Any, Final
from uuid import uuid4

from redis import Redis
from redis.client import Pipeline
from rq import Queue, Worker
from rq.job import Job as Entry
from rq.serializers import JSONSerializer
from rq.worker import DequeueStrategy

from skhost.jobs.launch import PROGRAM, Launcher, die_with, entry_class, training_environment
from skhost.jobs.queue import (
    IDLE_S,
    LEASE_S,
    MAINTENANCE_S,
    MONITORING_S,
    TrainingQueue,
    patient_client,
    training_queue,
)
from skhost.jobs.queue import WORKER_TTL_S as RQ_WORKER_TTL_S
from skhost.jobs.sweep import clear_folders, sweep
from skhost.keys import WORKER_TTL_S, CommonKeys, Keys, tenant_of_queue
from skhost.settings import Settings
from skhost.tracing import check_installed
from skhost.valkey import EmbeddedValkey

log = logging.getLogger(__name__)

_NAME_CHARS: Final = 4  # tells workers apart whose containers share host name and pid


class TrainingWorker(Worker):  # type: ignore[misc]  # rq is not followed
    """An RQ worker whose leases are short, whose horse dies with it, and which hands back."""

    queue_class = TrainingQueue

    def __init__(self, client: Redis, tenant: str, launcher: Launcher, name: str) -> None:
        super().__init__(
            [training_queue(client, keys) for keys in all_tenants(client, tenant)],
            name=name,
            connection=client,
            job_class=entry_class(launcher, name),
            serializer=JSONSerializer,
            worker_ttl=RQ_WORKER_TTL_S,
            job_monitoring_interval=MONITORING_S,
            maintenance_interval=MAINTENANCE_S,
        )
        self._tenant = tenant
        self._served_tenant = ""  # whose job it works on
        self._started_at = time()

    @property
    def dequeue_timeout(self) -> int:
        """Seconds to block for work before leases are looked at again."""
        return IDLE_S

    def get_heartbeat_ttl(self, job: Entry, working_time: float = 0.0) -> int:
        """Seconds after the last heartbeat until another worker takes the entry."""
        return LEASE_S

    def heartbeat(self, timeout: int | None = None, pipeline: Pipeline | None = None) -> None:
        """Tell RQ, and our own record of workers, that this one lives."""
        super().heartbeat(timeout, pipeline=pipeline)
        if not self._is_horse:
            self._record(self.connection if pipeline is None else pipeline)

    def run_maintenance_tasks(self) -> None:
        """Bring back what a dead worker held: RQ's expired leases, then what RQ lost.

        Queues of tenants that have come are listened to from here on.
        """
        known = {queue.name for queue in self.queues}
        tenants = all_tenants(self.connection, self._tenant)
        for keys in tenants:
            if keys.train_queue() not in known:
                self.queues.append(training_queue(self.connection, keys))
                self._ordered_queues.append(self.queues[-1])
        super().run_maintenance_tasks()
        for keys in tenants:
            sweep(self.connection, keys, training_queue(self.connection, keys))

    def setup_work_horse_signals(self) -> None:
        """In the horse: die with the worker, and leave signals to the training process."""
        die_with(self.pid)
        signal.signal(signal.SIGINT, signal.SIG_IGN)

    def fork_work_horse(self, job: Entry, queue: Queue) -> None:
        """Start the horse; if SIGTERM came in between, pass it on."""
        self._served_tenant = tenant_of_queue(queue.name)
        self._record(self.connection)
        super().fork_work_horse(job, queue)
        if self._stop_requested:
            self.kill_horse(signal.SIGTERM)

    def handle_warm_shutdown_request(self) -> None:
        """SIGTERM: the training process writes a checkpoint and hands its job back."""
        super().handle_warm_shutdown_request()
        if self.horse_pid:
            self.kill_horse(signal.SIGTERM)

    def register_death(self) -> None:
        """Take this worker out of the records."""
        super().register_death()
        self.connection.zrem(CommonKeys().workers(), self.name)
        self.connection.delete(CommonKeys().worker(self.name))

    def _record(self, connection: Any) -> None:
        key = CommonKeys().worker(self.name)
        values = {
            "host": socket.gethostname(),
            "pid": str(self.pid),
            "started_at": str(self._started_at),
            "job": self._job_id(),
            "tenant": self._served_tenant,
        }
        connection.hset(key, mapping=values)
        connection.expire(key, WORKER_TTL_S)
        connection.zadd(CommonKeys().workers(), {self.name: time()})

    def _job_id(self) -> str:
        entry = next(iter(self.executions.values()), None)
        return "" if entry is None else str(entry.job_id).rsplit("-", 1)[0]


def all_tenants(client: Redis, tenant: str) -> list[Keys]:
    """The keys of `tenant` and of all that an API key was ever made for."""
    found: Any = client.hkeys(CommonKeys().tenants())
    return [Keys(name) for name in sorted({tenant, *(each.decode() for each in found)})]


def run_worker(settings: Settings, *, program: tuple[str, ...] = PROGRAM) -> None:
    """Work until SIGTERM or SIGINT; with the embedded registry where no other is set.

    Raises:
        RegistryUnavailable: the embedded registry does not start.
        TracesUnavailable: traces are wanted, and what sends them is not installed.
    """
    check_installed(settings.otlp_endpoint)
    if settings.redis_url is not None:
        _work(settings, settings.redis_url, program)
        return
    with EmbeddedValkey(settings.data_dir) as valkey:
        _work(settings, valkey.url, program)


def _work(settings: Settings, redis_url: str, program: tuple[str, ...]) -> None:
    update = {"redis_url": redis_url, "data_dir": settings.data_dir.resolve()}
    settings = settings.model_copy(update=update)
    client = patient_client(redis_url)
    clear_folders(client, all_tenants(client, settings.tenant), settings.data_dir)
    launcher = Launcher(program, training_environment(settings))
    name = f"{socket.gethostname()}-{os.getpid()}-{uuid4().hex[:_NAME_CHARS]}"
    log.info("worker %s takes training jobs", name)
    # RQ sets its own logger to INFO and would tell of every look at its registries.
    worker = TrainingWorker(client, settings.tenant, launcher, name)
    # In turns, so that one tenant's many jobs do not keep another one's waiting.
    worker.work(logging_level="WARNING", dequeue_strategy=DequeueStrategy.ROUND_ROBIN)
    log.info("worker %s has ended", name)
