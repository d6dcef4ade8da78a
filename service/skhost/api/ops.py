"""Whether the server lives and is ready, what it is, and its metrics."""

from dataclasses import asdict
from typing import Any

from fastapi import APIRouter, Depends, Response
from prometheus_client.exposition import CONTENT_TYPE_LATEST, generate_latest

from skhost.access.record import Scope
from skhost.api.deps import Needs, ServicesDep, WorkspaceDep
from skhost.api.documented import GUARDED, only
from skhost.errors import Draining, NotReady, RegistryUnavailable
from skhost.workspaces import Workspace

router = APIRouter(tags=["operations"])


@router.get("/livez", responses=only(NotReady))
async def livez(services: ServicesDep) -> dict[str, str]:
    """Whether this process can go on; if not, it should be ended and started again.

    It cannot when its device finishes nothing although there is work, when the device is lost, or
    when the base computes something else than when it was loaded. Costs nothing.
    """
    services.engine.readiness.check_alive()
    return {"status": "alive"}


@router.get("/readyz", responses=only(NotReady, Draining))
async def readyz(services: ServicesDep) -> dict[str, Any]:
    """Whether a request could be answered now, proved by a forward of the base.

    The forward's result is compared with what it was at the start, at most once a second.

    `degraded` lists what is wrong with single adapters, or does not stand in the way of known ones:
    a registry that does not answer, and that there are aliases whose version cannot serve here.
    """
    if services.drain.is_leaving:
        raise Draining("the server is shutting down")
    await services.engine.ready()
    return {"status": "ready", "degraded": services.degradations()}


@router.get(
    "/metrics",
    response_class=Response,
    responses={
        200: {"content": {"text/plain": {}}, "description": "Prometheus text format."},
        **only(*GUARDED),
    },
    dependencies=[Depends(Needs(Scope.METRICS, is_operators=True))],
)
async def metrics(services: ServicesDep) -> Response:
    """Metrics for Prometheus."""
    text = generate_latest(services.metrics.registry)
    return Response(text, media_type=CONTENT_TYPE_LATEST)


@router.get("/info", responses=only(*GUARDED), dependencies=[Depends(Needs())])
async def info(services: ServicesDep, workspace: WorkspaceDep) -> dict[str, Any]:
    """What this server is: base, limits, capacity, what is resident, versions."""
    return {
        "base": services.base_facts(),
        "limits": services.limit_facts(),
        "residency": asdict(services.engine.residency.stats()),
        "registry": asdict(workspace.registry.stats()),
        "workers": await _workers(workspace),
        "versions": services.versions(),
        "draining": services.drain.is_draining,
    }


async def _workers(workspace: Workspace) -> list[dict[str, Any]] | None:
    """The training workers that live; null when the registry does not say."""
    try:
        return [worker.to_dict() for worker in await workspace.jobs.workers()]
    except RegistryUnavailable:
        return None
