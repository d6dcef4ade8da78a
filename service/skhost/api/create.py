"""POST /adapters: an adapter from label names alone."""

from fastapi import APIRouter, Depends, Request
from fastapi.responses import JSONResponse

from skhost.access.record import Scope
from skhost.api.audited import note
from skhost.api.deps import Needs, ServicesDep, WorkspaceDep
from skhost.api.documented import errors
from skhost.api.schemas import CreateRequest, Version
from skhost.api.strict import StrictRoute
from skhost.errors import Conflict, RegistryUnavailable, StoreUnavailable

router = APIRouter(tags=["adapters"], route_class=StrictRoute)


@router.post(
    "/adapters",
    status_code=201,
    response_model=Version,
    responses=errors(Conflict, RegistryUnavailable, StoreUnavailable),
    dependencies=[Depends(Needs(Scope.TRAIN, action="adapter.create"))],
)
async def create(
    request: Request, body: CreateRequest, services: ServicesDep, workspace: WorkspaceDep
) -> JSONResponse:
    """Make a single-label adapter from label names alone, without any data; it answers at once.

    Nobody has measured it. Training the same name makes its next version.
    """
    note(request, body.name)
    services.check_not_draining()
    described = {
        label: (texts,) if isinstance(texts, str) else tuple(texts)
        for label, texts in body.descriptions.items()
    }
    record = await workspace.creation.create(body.name, body.labels, described)
    location = f"/adapters/{body.name}/versions"
    return JSONResponse(record.to_dict(), status_code=201, headers={"Location": location})
