"""`/v1/uploads`: a file in parts, for what is larger than one request may be."""

import re
from typing import Any

from fastapi import APIRouter, Request
from fastapi.responses import Response
from starlette.datastructures import UploadFile

from api.auth import authenticate
from api.bodies import check_declared_length, json_object
from api.openai.files import PURPOSES, content_of, expiry
from api.openai.files import find as find_file
from api.openai.files import render as render_file
from api.replies import json_reply
from api.services import Services
from penstock.errors import InvalidRequest, NotFound, PayloadTooLarge
from penstock.ids import parse_id, public_id
from penstock.store import uploads
from penstock.store.files import File
from penstock.store.uploads import Upload

router = APIRouter(prefix="/v1/uploads", tags=["uploads"])

#: of the vendor
MAX_PART_BYTES = 64 * 1024 * 1024
MAX_PARTS = 10_000
_MULTIPART_OVERHEAD = 1 << 20
_MD5 = re.compile("[0-9a-fA-F]{32}")


@router.post("")
async def create(request: Request) -> Response:
    """Announce a file; its parts may come within an hour."""
    principal = await authenticate(request)
    services: Services = request.app.state.services
    body = await json_object(request)
    for name in ("filename", "purpose", "mime_type"):
        if not isinstance(body.get(name), str):
            raise _missing_or_wrong(body, name, "a string")
    if not isinstance(body.get("bytes"), int) or isinstance(body["bytes"], bool):
        raise _missing_or_wrong(body, "bytes", "an integer")
    if body["purpose"] not in PURPOSES:
        message = f"'{body['purpose']}' is not one of {', '.join(PURPOSES)}."
        raise InvalidRequest(message, param="purpose", code="invalid_value")
    limit = services.settings.config.batches.max_parts_bytes
    if body["bytes"] > limit:
        raise PayloadTooLarge(f"The file is larger than the limit of {limit} bytes.", param="bytes")
    if body["bytes"] < 1:
        raise InvalidRequest("'bytes' must be at least 1.", param="bytes", code="invalid_value")
    upload = await uploads.create(
        services.database,
        tenant_id=principal.tenant_id,
        filename=body["filename"].replace("\0", ""),
        purpose=body["purpose"],
        size=body["bytes"],
        file_expires_seconds=_file_expiry(body),
    )
    return json_reply(render(upload))


@router.post("/{upload_id}/parts")
async def add_part(request: Request, upload_id: str) -> Response:
    """Store a part; which place it has is said when the upload is completed."""
    principal = await authenticate(request)
    services: Services = request.app.state.services
    upload = await _find(services, principal.tenant_id, upload_id)
    check_declared_length(request, MAX_PART_BYTES + _MULTIPART_OVERHEAD)
    if not request.headers.get("content-type", "").startswith("multipart/form-data"):
        raise InvalidRequest("A part is uploaded as multipart/form-data.", param="data")
    async with request.form() as form:
        data = form.get("data")
        if not isinstance(data, UploadFile):
            raise InvalidRequest("Missing required parameter: 'data'.", param="data", code="missing_required_parameter")
        part = await uploads.add_part(services.database, upload, content_of(data), MAX_PART_BYTES)
    return json_reply(
        {
            "id": public_id("part_", part.id),
            "object": "upload.part",
            "created_at": int(part.created_at.timestamp()),
            "upload_id": public_id("upload_", part.upload_id),
        }
    )


@router.post("/{upload_id}/complete")
async def complete(request: Request, upload_id: str) -> Response:
    """Make the file, of the parts in the order given."""
    principal = await authenticate(request)
    services: Services = request.app.state.services
    upload = await _find(services, principal.tenant_id, upload_id)
    body = await json_object(request)
    named, md5 = body.get("part_ids"), body.get("md5")
    if not isinstance(named, list) or not all(isinstance(part, str) for part in named) or len(named) > MAX_PARTS:
        raise _missing_or_wrong(body, "part_ids", f"an array of at most {MAX_PARTS} strings")
    if md5 is not None and not (isinstance(md5, str) and _MD5.fullmatch(md5)):
        raise InvalidRequest("'md5' must be 32 hexadecimal digits.", param="md5", code="invalid_value")
    try:
        parts = [parse_id("part_", part, "part") for part in named]
    except NotFound as unknown:
        raise InvalidRequest(unknown.message, param="part_ids", code="invalid_value") from None
    file_id = await uploads.complete(services.database, upload, parts, md5)
    file = await find_file(services, principal.tenant_id, public_id("file-", file_id))
    return json_reply(render(await _find(services, principal.tenant_id, upload_id), file))


@router.post("/{upload_id}/cancel")
async def cancel(request: Request, upload_id: str) -> Response:
    """Give an upload up."""
    principal = await authenticate(request)
    services: Services = request.app.state.services
    await uploads.cancel(services.database, await _find(services, principal.tenant_id, upload_id))
    return json_reply(render(await _find(services, principal.tenant_id, upload_id)))


def render(upload: Upload, file: File | None = None) -> dict[str, Any]:
    """The upload object of the vendor; `file` is what became of it."""
    return {
        "id": public_id("upload_", upload.id),
        "object": "upload",
        "bytes": upload.bytes,
        "created_at": int(upload.created_at.timestamp()),
        "expires_at": int(upload.expires_at.timestamp()),
        "filename": upload.filename,
        "purpose": upload.purpose,
        "status": upload.status,
        "file": render_file(file) if file is not None else None,
    }


async def _find(services: Services, tenant_id: str, upload_id: str) -> Upload:
    upload = await uploads.get(services.database, tenant_id, parse_id("upload_", upload_id, "upload"))
    if upload is None:
        raise NotFound(f"No upload found with id '{upload_id}'.")
    return upload


def _file_expiry(body: dict[str, Any]) -> int | None:
    after = body.get("expires_after")
    if after is None:
        return expiry(None, None, body["purpose"])
    if not isinstance(after, dict):
        raise InvalidRequest("'expires_after' must be an object.", param="expires_after", code="invalid_type")
    return expiry(after.get("anchor"), str(after.get("seconds")), body["purpose"])


def _missing_or_wrong(body: dict[str, Any], name: str, what: str) -> InvalidRequest:
    if body.get(name) is None:
        return InvalidRequest(f"Missing required parameter: '{name}'.", param=name, code="missing_required_parameter")
    return InvalidRequest(f"'{name}' must be {what}.", param=name, code="invalid_type")
