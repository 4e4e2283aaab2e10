"""`/v1/files` (contract §2)."""

import hashlib
from collections.abc import AsyncIterator
from typing import Any

from fastapi import APIRouter, Request
from fastapi.responses import Response, StreamingResponse
from starlette.datastructures import UploadFile

from api.auth import Principal, authenticate
from api.bodies import bounded, query_integer
from api.idempotency import has_key, key_of, made_before
from api.replies import json_reply
from api.services import Services
from penstock.errors import InvalidRequest, NotFound, PayloadTooLarge
from penstock.ids import parse_id, public_id
from penstock.store import files
from penstock.store.files import File
from penstock.store.idempotency import IdempotencyKey, Repeated
from penstock.submission.results import file_content

router = APIRouter(prefix="/v1/files", tags=["files"])

_ROUTE = "/v1/files"
PURPOSES = ("batch", "assistants", "fine-tune", "vision", "user_data", "evals")
#: what the vendor's own files have; a list may ask for them
_MADE_PURPOSES = ("batch_output", "assistants_output", "fine-tune-results")
_READ_BYTES = 1 << 20
_BATCH_EXPIRES_SECONDS = 30 * 24 * 3600
_MULTIPART_OVERHEAD = 1 << 20
#: the vendor has four
_FORM_FIELDS = 16


@router.post("")
async def create(request: Request) -> Response:
    """Store a file; its content is not looked at."""
    principal = await authenticate(request)
    services: Services = request.app.state.services
    limit = services.settings.config.batches.max_upload_bytes
    declared = request.headers.get("content-length", "")
    if declared.isdecimal() and int(declared) > limit + _MULTIPART_OVERHEAD:
        raise PayloadTooLarge(f"The file is larger than the limit of {limit} bytes.", param="file")
    if not request.headers.get("content-type", "").startswith("multipart/form-data"):
        raise InvalidRequest("A file is uploaded as multipart/form-data.", param="file")
    request = bounded(request, limit + _MULTIPART_OVERHEAD)
    async with request.form(max_files=1, max_fields=_FORM_FIELDS) as form:
        purpose, upload = form.get("purpose"), form.get("file")
        if not isinstance(purpose, str):
            raise _missing("purpose")
        if purpose not in PURPOSES:
            message = f"'{purpose}' is not one of {', '.join(PURPOSES)}."
            raise InvalidRequest(message, param="purpose", code="invalid_value")
        if not isinstance(upload, UploadFile):
            raise _missing("file")
        name = (upload.filename or "upload").replace("\0", "")
        expires = expiry(form.get("expires_after[anchor]"), form.get("expires_after[seconds]"), purpose)
        key = await _key(request, principal, [purpose, name, expires], upload)
        found = await made_before(services, key)
        if found is not None:
            return json_reply(render(await find(services, principal.tenant_id, public_id("file-", found))))
        try:
            file = await files.insert(
                services.database,
                tenant_id=principal.tenant_id,
                purpose=purpose,
                filename=name,
                content=content_of(upload),
                expires_seconds=expires,
                max_bytes=limit,
                key=key,
            )
        except Repeated as repeated:
            file = await find(services, principal.tenant_id, public_id("file-", repeated.object_id))
    return json_reply(render(file))


async def _key(request: Request, principal: Principal, fields: list[Any], upload: UploadFile) -> IdempotencyKey | None:
    """The Idempotency-Key of an upload: two are the same when their fields and bytes are."""
    if not has_key(request):
        return None
    digest = hashlib.sha256()
    async for piece in content_of(upload):
        digest.update(piece)
    await upload.seek(0)
    return key_of(request, principal, _ROUTE, fields, digest.digest())


@router.get("")
async def list_files(request: Request) -> Response:
    """A tenant's files, newest first unless `order=asc`."""
    principal = await authenticate(request)
    services: Services = request.app.state.services
    limit = query_integer(request, "limit", 10_000, low=1, high=10_000) or 10_000
    order = request.query_params.get("order", "desc")
    if order not in ("asc", "desc"):
        raise InvalidRequest("'order' must be 'asc' or 'desc'.", param="order", code="invalid_value")
    purpose = request.query_params.get("purpose")
    if purpose is not None and purpose not in (*PURPOSES, *_MADE_PURPOSES):
        raise InvalidRequest("'purpose' is none that a file can have.", param="purpose", code="invalid_value")
    after = request.query_params.get("after")
    start = await _cursor(services, principal.tenant_id, after) if after else None
    rows = await files.page(
        services.database,
        principal.tenant_id,
        purpose=purpose,
        after=start,
        limit=limit + 1,
        ascending=order == "asc",
    )
    return json_reply(page_of([render(row) for row in rows[:limit]], has_more=len(rows) > limit))


@router.get("/{file_id}")
async def retrieve(request: Request, file_id: str) -> Response:
    """One file object."""
    principal = await authenticate(request)
    return json_reply(render(await find(request.app.state.services, principal.tenant_id, file_id)))


@router.get("/{file_id}/content")
async def content(request: Request, file_id: str) -> Response:
    """The bytes of a file; of a result file, its lines in input order."""
    principal = await authenticate(request)
    services: Services = request.app.state.services
    file = await find(services, principal.tenant_id, file_id)
    return StreamingResponse(file_content(services.database, file), media_type="application/octet-stream")


@router.delete("/{file_id}")
async def delete(request: Request, file_id: str) -> Response:
    """Remove a file; a batch made from it goes on."""
    principal = await authenticate(request)
    services: Services = request.app.state.services
    if not await files.delete(services.database, principal.tenant_id, parse_id("file-", file_id, "file")):
        raise NotFound(f"No file found with id '{file_id}'.")
    return json_reply({"id": file_id, "object": "file", "deleted": True})


async def find(services: Services, tenant_id: str, file_id: str) -> File:
    """A file by its public id.

    Raises:
        NotFound: this tenant has none, or has it no more; the message says why.
    """
    file = await files.get(services.database, tenant_id, parse_id("file-", file_id, "file"), gone=True)
    if file is None or file.purpose == files.HIDDEN_PURPOSE:
        raise NotFound(f"No file found with id '{file_id}'.")
    if file.gone is not None:
        raise NotFound(f"No file found with id '{file_id}': {file.gone}.")
    return file


async def _cursor(services: Services, tenant_id: str, file_id: str) -> File:
    """Where a list goes on; also after a file deleted meanwhile, since many delete what they list."""
    try:
        file = await files.get(services.database, tenant_id, parse_id("file-", file_id, "file"), gone=True)
    except NotFound:
        file = None
    if file is None:
        raise InvalidRequest(f"No file found with id '{file_id}'.", param="after", code="invalid_value")
    return file


def render(file: File) -> dict[str, Any]:
    """The file object of the vendor."""
    return {
        "id": public_id("file-", file.id),
        "object": "file",
        "bytes": file.bytes,
        "created_at": int(file.created_at.timestamp()),
        "expires_at": int(file.expires_at.timestamp()) if file.expires_at else None,
        "filename": file.filename,
        "purpose": file.purpose,
        "status": "processed",
        "status_details": None,
    }


def page_of(data: list[dict[str, Any]], *, has_more: bool) -> dict[str, Any]:
    """One page of a cursor list."""
    return {
        "object": "list",
        "data": data,
        "has_more": has_more,
        "first_id": data[0]["id"] if data else None,
        "last_id": data[-1]["id"] if data else None,
    }


async def content_of(upload: UploadFile) -> AsyncIterator[bytes]:
    """The bytes of what was uploaded, a piece at a time."""
    while piece := await upload.read(_READ_BYTES):
        yield piece


def expiry(anchor: Any, text: Any, purpose: str) -> int | None:
    """Seconds after which a file goes, of what was asked for; None: it stays.

    Raises:
        InvalidRequest: it is nothing that may be asked for.
    """
    if anchor is None and text is None:
        return _BATCH_EXPIRES_SECONDS if purpose == "batch" else None
    if anchor != "created_at":
        raise InvalidRequest(
            "'expires_after.anchor' must be 'created_at'.", param="expires_after", code="invalid_value"
        )
    if not isinstance(text, str) or not text.isdecimal() or len(text) > 7 or not 3600 <= int(text) <= 2_592_000:
        raise InvalidRequest(
            "'expires_after.seconds' must be an integer between 3600 and 2592000.",
            param="expires_after",
            code="invalid_value",
        )
    return int(text)


def _missing(name: str) -> InvalidRequest:
    return InvalidRequest(f"Missing required parameter: '{name}'.", param=name, code="missing_required_parameter")
