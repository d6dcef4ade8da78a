"""Adapters as archives: out of this server, and into it."""

from typing import Annotated

from fastapi import APIRouter, Query, Request
from fastapi.responses import FileResponse, JSONResponse
from starlette.background import BackgroundTask

from skhost.api.deps import ServicesDep
from skhost.api.documented import errors
from skhost.api.schemas import Version
from skhost.errors import (
    AdapterNotFound,
    AliasNotFound,
    ArtifactRefused,
    BaseIncompatible,
    PayloadTooLarge,
    StoreUnavailable,
    VersionNotFound,
)
from skhost.names import check_name, parse_ref

router = APIRouter(tags=["adapters"])

MEDIA_TYPE = "application/gzip"
_BODY_DOCS = {
    "requestBody": {
        "required": True,
        "content": {MEDIA_TYPE: {"schema": {"type": "string", "format": "binary"}}},
    }
}


@router.get(
    "/adapters/{ref}/export",
    response_class=FileResponse,
    responses={
        200: {
            "content": {MEDIA_TYPE: {}},
            "description": "A .tar.gz; the header X-Artifact-Digest has the artifact's digest.",
        },
        **errors(AdapterNotFound, VersionNotFound, AliasNotFound, StoreUnavailable),
    },
)
async def export(ref: str, services: ServicesDep) -> FileResponse:
    """An adapter as an archive: `name`, `name@3` or `name@alias`."""
    parcel = await services.transfer.export(parse_ref(ref))
    return FileResponse(
        parcel.path,
        media_type=MEDIA_TYPE,
        filename=f"{parcel.record.name}-{parcel.record.version}.tar.gz",
        headers={"X-Artifact-Digest": parcel.record.digest},
        background=BackgroundTask(parcel.remove),
    )


@router.post(
    "/adapters/{name}/import",
    status_code=201,
    response_model=Version,
    responses=errors(ArtifactRefused, BaseIncompatible, PayloadTooLarge),
    openapi_extra=_BODY_DOCS,
)
async def import_archive(
    name: str,
    request: Request,
    services: ServicesDep,
    promote: Annotated[
        bool | None, Query(description="Let it answer; by default only a new adapter does.")
    ] = None,
) -> JSONResponse:
    """Check an exported archive and publish it as the next version."""
    check_name(name)
    limit = services.settings.max_artifact_bytes
    async with services.transfer.receive(request.stream(), limit) as archive:
        record = await services.transfer.publish(name, archive, promote)
    location = f"/adapters/{name}/versions"
    return JSONResponse(record.to_dict(), status_code=201, headers={"Location": location})
