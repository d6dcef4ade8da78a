"""The application: every part made once, given what it needs, and closed in order."""

import asyncio
import logging
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any

from fastapi import FastAPI
from prometheus_client import CollectorRegistry, ProcessCollector
from redis.asyncio import Redis

from skhost import __version__
from skhost.access.entrance import opened
from skhost.access.limits import Limiter
from skhost.access.record import Quotas
from skhost.admission import CHECKS_AT_ONCE, Admission
from skhost.api import adapters, classify, create, docs, errors, ops, stream, train, transfer
from skhost.api.audited import Audit
from skhost.api.envelope import Envelope
from skhost.api.guard import OPEN, Guard
from skhost.api.limits import BodyLimit
from skhost.catalog import Catalog
from skhost.connection import connect
from skhost.conversion import Conversion
from skhost.creation import Creation
from skhost.drain import Drain
from skhost.embedded import registry_url
from skhost.engine import Engine
from skhost.errors import ServiceError
from skhost.housekeeping import Housekeeping, clear_left_overs
from skhost.jobs import Jobs
from skhost.keys import Keys
from skhost.metrics import Metrics
from skhost.publication import Publication
from skhost.releases import Releases
from skhost.services import Services
from skhost.serving import serving
from skhost.settings import Settings
from skhost.store import Stores
from skhost.tracing import tracing
from skhost.transfer import Transfer
from skhost.workspaces import Workspace, Workspaces
from sktuning.base import FrozenBase
from sktuning.errors import SKTuningError

log = logging.getLogger(__name__)

FORM_OVERHEAD_BYTES = 1 << 20  # boundaries and fields around the files
TITLE = "skhost"
# FastAPI's own would send paths, queries and messages of exceptions; ours is in `tracing`.
_NO_TELEMETRY: Any = {"tracing": False, "metrics": False, "logs": False, "auto_configure": False}
SUMMARY = "Many text classifiers on one frozen base model: train from a file, serve at once."


def create_app(settings: Settings) -> FastAPI:
    """The application for these settings; its parts are made when it starts.

    `app.state.drain` is there at once, `app.state.services` while it runs, and
    `app.state.failure` once it could not start for a reason that it knows.
    """
    drain = Drain(settings.drain_timeout_s, settings.leave_s)
    registry = CollectorRegistry()
    metrics = Metrics(registry, max_adapter_labels=settings.metric_adapters)
    metrics.follow(drain)
    ProcessCollector(registry=registry)

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        async with AsyncExitStack() as stack:
            try:
                app.state.traces = await stack.enter_async_context(tracing(settings.otlp_endpoint))
                services = _services(settings, drain, metrics)
                app.state.services = await stack.enter_async_context(services)
            except (ServiceError, SKTuningError) as error:
                app.state.failure = error
                raise
            yield

    app = FastAPI(
        title=TITLE,
        summary=SUMMARY,
        version=__version__,
        lifespan=lifespan,
        docs_url=None,  # FastAPI's page is loaded from elsewhere; ours is in `api.docs`
        redoc_url=None,
        telemetry=_NO_TELEMETRY,
    )
    app.state.drain = drain
    app.state.traces = None
    app.state.failure = None
    for module in (classify, stream, train, adapters, create, transfer, ops, docs):
        app.include_router(module.router)
    errors.install(app)
    open_paths = OPEN | {"/metrics"} if settings.open_metrics else OPEN
    app.add_middleware(BodyLimit, max_bytes=lambda path: body_limit(path, settings))
    app.add_middleware(Audit)
    app.add_middleware(Guard, open_paths=open_paths)
    app.add_middleware(Envelope, drain=drain, metrics=metrics)
    return app


def body_limit(path: str, settings: Settings) -> int | None:
    """Bytes that a request to `path` may have; files have limits of their own besides.

    None: a stream of any length, of which little is held at once.
    """
    if path == "/classify/stream":
        return None
    if path == "/train":
        return 2 * settings.max_upload_bytes + FORM_OVERHEAD_BYTES
    if path.endswith("/import"):
        return settings.max_artifact_bytes
    return settings.max_body_bytes


@asynccontextmanager
async def _services(settings: Settings, drain: Drain, metrics: Metrics) -> AsyncIterator[Services]:
    await asyncio.to_thread(clear_left_overs, settings.data_dir / "incoming")
    async with AsyncExitStack() as stack:
        redis = connect(await stack.enter_async_context(registry_url(settings)))
        stack.push_async_callback(redis.aclose)
        keyring = await stack.enter_async_context(opened(settings, redis))
        stores = Stores(settings.store, settings.data_dir / "cache")
        base = await asyncio.to_thread(
            FrozenBase.load, settings.base, device=settings.device, dtype=settings.dtype
        )
        base.prepare_to_serve(settings.dtype)
        engine = await stack.enter_async_context(serving(settings, base, stores, redis, metrics))
        workspaces = Workspaces(_maker(settings, engine, stores, redis, metrics), settings.tenant)
        await stack.enter_async_context(workspaces.running(lambda: keyring.tenants))
        services = Services(
            settings=settings,
            drain=drain,
            metrics=metrics,
            keyring=keyring,
            limiter=Limiter(
                redis,
                Quotas(settings.key_requests, settings.key_tokens),
                Quotas(settings.tenant_requests, settings.tenant_tokens),
                metrics,
            ),
            engine=engine,
            workspaces=workspaces,
        )
        metrics.follow_device(lambda: engine.runner.busy_s, lambda: engine.runner.threads or 0)
        metrics.build(services.build_facts())
        yield services


def _maker(
    settings: Settings, engine: Engine, stores: Stores, redis: Redis, metrics: Metrics
) -> Callable[[str, Workspace | None], Workspace]:
    """Makes workspaces; device, threads and the checks of uploads are everybody's."""
    residency, classifier, runner = engine.residency, engine.classifier, engine.runner
    conversion = Conversion(classifier, runner)
    checks = asyncio.Semaphore(CHECKS_AT_ONCE)
    incoming = settings.data_dir / "incoming"

    def make(tenant: str, shared: Workspace | None) -> Workspace:
        keys, store = Keys(tenant), stores.of(tenant)
        catalog, jobs = Catalog(redis, keys), Jobs(redis, keys)
        registry = engine.registries.of(tenant)
        publication = Publication(catalog, store, residency, registry)
        return Workspace(
            tenant=tenant,
            catalog=catalog,
            registry=registry,
            releases=Releases(catalog, residency, registry),
            transfer=Transfer(catalog, store, publication, conversion, incoming),
            creation=Creation(catalog, publication, classifier, runner, incoming),
            jobs=jobs,
            admission=Admission(jobs, store, checks),
            keeping=Housekeeping(redis, keys, catalog, store, metrics),
            shared=shared,
        )

    return make
