"""Adapters as archives: out of this server, and into it."""

from typing import Annotated

from fastapi import APIRouter, Depends, Query, Request
from fastapi.responses import FileResponse, JSONResponse
from starlette.background import BackgroundTask

from skhost.access.record import Scope
from skhost.api.deps import Needs, ServicesDep, WorkspaceDep
from skhost.api.documented import errors
from skhost.api.schemas import Version
from skhost.api.strict import StrictRoute
from skhost.errors import (
    AdapterNotFound,
    AliasNotFound,
    ArtifactRefused,
    BaseIncompatible,
    Conflict,
    StoreUnavailable,
    VersionNotFound,
)
from skhost.names import check_name, parse_labels, parse_ref
from skhost.transfer import Form
from sktuning.config import Task
from sktuning.peft.options import ImportOptions

router = APIRouter(tags=["adapters"], route_class=StrictRoute)

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
        **errors(
            *(AdapterNotFound, VersionNotFound, AliasNotFound, StoreUnavailable),
            *(Conflict, BaseIncompatible),
        ),
    },
    dependencies=[Depends(Needs(Scope.TRAIN))],
)
async def export(
    ref: str,
    workspace: WorkspaceDep,
    form: Annotated[
        Form, Query(alias="format", description="`peft` makes a checkpoint that PEFT loads.")
    ] = Form.ARTIFACT,
) -> FileResponse:
    """An adapter as an archive: `name`, `name@3` or `name@alias`."""
    asked = parse_ref(ref)
    transfer = workspace.exports(await workspace.find(asked.name))
    parcel = await transfer.export(asked, form)
    suffix = "" if form is Form.ARTIFACT else f"-{form}"
    return FileResponse(
        parcel.path,
        media_type=MEDIA_TYPE,
        filename=f"{parcel.record.name}-{parcel.record.version}{suffix}.tar.gz",
        headers={"X-Artifact-Digest": parcel.record.digest},
        background=BackgroundTask(parcel.remove),
    )


@router.post(
    "/adapters/{name}/import",
    status_code=201,
    response_model=Version,
    responses=errors(ArtifactRefused, BaseIncompatible),
    openapi_extra=_BODY_DOCS,
    dependencies=[Depends(Needs(Scope.TRAIN, action="adapter.import"))],
)
async def import_archive(
    name: str,
    request: Request,
    services: ServicesDep,
    workspace: WorkspaceDep,
    promote: Annotated[
        bool | None, Query(description="Let it answer; by default only a new adapter does.")
    ] = None,
    labels: Annotated[
        str | None, Query(description="PEFT checkpoints: the label names, comma-separated.")
    ] = None,
    task: Annotated[
        Task | None, Query(description="PEFT checkpoints: found in the checkpoint by default.")
    ] = None,
    pairs: Annotated[
        bool, Query(description="PEFT checkpoints: trained on pairs of texts.")
    ] = False,
) -> JSONResponse:
    """Check an exported archive or a PEFT checkpoint and publish it as the next version."""
    check_name(name)
    options = ImportOptions(parse_labels(labels), task, pairs)
    limit = services.settings.max_artifact_bytes
    async with workspace.transfer.receive(request.stream(), limit) as archive:
        record = await workspace.transfer.publish(name, archive, promote, options)
    location = f"/adapters/{name}/versions"
    return JSONResponse(record.to_dict(), status_code=201, headers={"Location": location})
