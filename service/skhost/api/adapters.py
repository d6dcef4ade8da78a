"""What is registered, which version answers, and taking adapters out of use."""

from typing import Annotated

from fastapi import APIRouter, Depends, Query, Response
from fastapi.responses import JSONResponse

from skhost.access.record import Scope
from skhost.api.deps import Needs, WorkspaceDep
from skhost.api.documented import errors
from skhost.api.schemas import (
    AdapterBody,
    AdapterPage,
    AliasRequest,
    PromoteRequest,
    RollbackRequest,
    VersionList,
)
from skhost.api.strict import StrictRoute
from skhost.errors import (
    AdapterNotFound,
    AdapterUnusable,
    AliasNotFound,
    BaseIncompatible,
    Conflict,
    RegistryUnavailable,
    VersionNotFound,
)
from skhost.names import parse_ref
from skhost.records import AdapterRecord

router = APIRouter(tags=["adapters"], route_class=StrictRoute)

Limit = Annotated[int, Query(ge=1, le=500)]
_MOVES = errors(
    *(AdapterNotFound, VersionNotFound, AliasNotFound, Conflict, BaseIncompatible),
    *(AdapterUnusable, RegistryUnavailable),
)


@router.get(
    "/adapters",
    response_model=AdapterPage,
    responses=errors(RegistryUnavailable),
    dependencies=[Depends(Needs())],
)
async def list_adapters(
    workspace: WorkspaceDep, cursor: str | None = None, limit: Limit = 100
) -> JSONResponse:
    """List adapters by name."""
    page = await workspace.list(cursor, limit)
    adapters = [record.to_dict() for record in page.adapters]
    return JSONResponse({"adapters": adapters, "next_cursor": page.cursor})


@router.get(
    "/adapters/{name}",
    response_model=AdapterBody,
    responses=errors(AdapterNotFound),
    dependencies=[Depends(Needs())],
)
async def get_adapter(name: str, workspace: WorkspaceDep) -> JSONResponse:
    """An adapter with its aliases and versions."""
    return _body(await workspace.find(name))


@router.get(
    "/adapters/{name}/versions",
    response_model=VersionList,
    responses=errors(AdapterNotFound),
    dependencies=[Depends(Needs())],
)
async def list_versions(name: str, workspace: WorkspaceDep) -> JSONResponse:
    """An adapter's versions, the oldest first."""
    record = await workspace.find(name)
    versions = [version.to_dict() for version in record.versions]
    return JSONResponse({"name": name, "versions": versions})


@router.post(
    "/adapters/{name}/promote",
    response_model=AdapterBody,
    responses=_MOVES,
    dependencies=[Depends(Needs(Scope.ADMIN, action="adapter.promote"))],
)
async def promote(name: str, body: PromoteRequest, workspace: WorkspaceDep) -> JSONResponse:
    """Let a version answer; it is loaded and tested first, and refused if it fails."""
    return _body(await workspace.releases.promote(name, body.version, body.alias))


@router.post(
    "/adapters/{name}/rollback",
    response_model=AdapterBody,
    responses=_MOVES,
    dependencies=[Depends(Needs(Scope.ADMIN, action="adapter.rollback"))],
)
async def rollback(
    name: str, workspace: WorkspaceDep, body: RollbackRequest | None = None
) -> JSONResponse:
    """Point an alias back at what it pointed at before."""
    alias = (body or RollbackRequest()).alias
    return _body(await workspace.releases.rollback(name, alias))


@router.put(
    "/adapters/{name}/aliases/{alias}",
    response_model=AdapterBody,
    responses=_MOVES,
    dependencies=[Depends(Needs(Scope.ADMIN, action="alias.set"))],
)
async def set_alias(
    name: str, alias: str, body: AliasRequest, workspace: WorkspaceDep
) -> JSONResponse:
    """Point an alias at a version; the same as promote."""
    return _body(await workspace.releases.promote(name, body.version, alias))


@router.delete(
    "/adapters/{name}/aliases/{alias}",
    status_code=204,
    responses=errors(AdapterNotFound, AliasNotFound),
    dependencies=[Depends(Needs(Scope.ADMIN, action="alias.delete"))],
)
async def delete_alias(name: str, alias: str, workspace: WorkspaceDep) -> Response:
    """Remove an alias; the versions stay."""
    await workspace.releases.delete_alias(name, alias)
    return Response(status_code=204)


@router.put(
    "/adapters/{name}/pin",
    response_model=AdapterBody,
    responses=errors(AdapterNotFound, Conflict),
    dependencies=[Depends(Needs(Scope.ADMIN, action="adapter.pin"))],
)
async def pin(name: str, workspace: WorkspaceDep) -> JSONResponse:
    """Keep what the adapter's aliases point at in memory, on every server, now and later."""
    return _body(await workspace.releases.pin(name, is_pinned=True))


@router.delete(
    "/adapters/{name}/pin",
    response_model=AdapterBody,
    responses=errors(AdapterNotFound),
    dependencies=[Depends(Needs(Scope.ADMIN, action="adapter.unpin"))],
)
async def unpin(name: str, workspace: WorkspaceDep) -> JSONResponse:
    """Let an adapter come and go with its use, as all others."""
    return _body(await workspace.releases.pin(name, is_pinned=False))


@router.delete(
    "/adapters/{name}/versions/{version}/quarantine",
    response_model=AdapterBody,
    responses=errors(AdapterNotFound, VersionNotFound, RegistryUnavailable),
    dependencies=[Depends(Needs(Scope.ADMIN, action="adapter.lift"))],
)
async def lift(name: str, version: int, workspace: WorkspaceDep) -> JSONResponse:
    """Let a version answer again, on every server, that was found to answer differently.

    It is read from the store and tested before it does.
    """
    return _body(await workspace.releases.lift_quarantine(name, version))


@router.delete(
    "/adapters/{ref}",
    status_code=204,
    responses=errors(AdapterNotFound, VersionNotFound, Conflict),
    dependencies=[Depends(Needs(Scope.ADMIN, action="adapter.delete"))],
)
async def delete(ref: str, workspace: WorkspaceDep) -> Response:
    """Take an adapter (`name`) or one version of it (`name@3`) out of use for good."""
    await workspace.releases.retire(parse_ref(ref))
    return Response(status_code=204)


def _body(record: AdapterRecord) -> JSONResponse:
    return JSONResponse(record.to_dict())
