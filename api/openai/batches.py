"""`/v1/batches` (contract §3)."""

from typing import Any

import structlog
from fastapi import APIRouter, Request
from fastapi.responses import Response

from api.auth import authenticate
from api.bodies import json_object, query_integer
from api.estimates import expected_end, warning
from api.idempotency import key_of, made_before
from api.openai.files import find as find_file
from api.openai.files import page_of
from api.replies import json_reply
from api.services import Services
from api.urgency import priority_of, window_name, window_seconds
from penstock.completion.encoding import loads
from penstock.dialects import registry
from penstock.errors import InvalidRequest, NotFound, Unavailable
from penstock.ids import parse_id, public_id
from penstock.store import batches
from penstock.store.batches import TERMINAL, Batch, NewBatch
from penstock.store.idempotency import Repeated
from penstock.submission.doorbells import order_stop, wake_dispatcher

router = APIRouter(prefix="/v1/batches", tags=["batches"])

_ROUTE = "/v1/batches"
_TIMES = (
    "created_at", "in_progress_at", "expires_at", "finalizing_at", "completed_at", "failed_at", "expired_at",
    "cancelling_at", "cancelled_at",
)  # fmt: skip

_log = structlog.get_logger()


@router.post("")
async def create(request: Request) -> Response:
    """Accept a batch; its file is read by a worker."""
    principal = await authenticate(request)
    services: Services = request.app.state.services
    body = await json_object(request)
    key = key_of(request, principal, _ROUTE, body)
    found = await made_before(services, key)
    if found is not None:
        return json_reply(render(await find(services, principal.tenant_id, public_id("batch_", found))))
    for name in ("input_file_id", "endpoint", "completion_window"):
        if body.get(name) is None:
            message = f"Missing required parameter: '{name}'."
            raise InvalidRequest(message, param=name, code="missing_required_parameter")
        if not isinstance(body[name], str):
            raise InvalidRequest(f"'{name}' must be a string.", param=name, code="invalid_type")
    endpoints = registry.endpoints()
    if body["endpoint"] not in endpoints:
        message = f"'{body['endpoint']}' is not supported; use one of {', '.join(endpoints)}."
        raise InvalidRequest(message, param="endpoint", code="invalid_value")
    window = window_seconds(body["completion_window"])
    try:
        file = await find_file(services, principal.tenant_id, body["input_file_id"])
    except NotFound as missing:
        raise NotFound(missing.message, param="input_file_id") from None
    if file.purpose != "batch":
        raise InvalidRequest(
            f"The file's purpose is '{file.purpose}', not 'batch'.", param="input_file_id", code="invalid_value"
        )
    new = NewBatch(
        tenant_id=principal.tenant_id,
        endpoint=body["endpoint"],
        input_file_id=file.id,
        window_seconds=window,
        output_expires_seconds=_output_expiry(body.get("output_expires_after")),
        metadata=checked_metadata(body.get("metadata")),
        callback_url=await services.webhooks.callback_url(principal.tenant_id, body.get("callback_url")),
        priority=priority_of(request, body),
        residency=principal.residency,
    )
    try:
        batch = await batches.insert(services.database, new, key)
    except Repeated as repeated:
        batch_id = public_id("batch_", repeated.object_id)
        return json_reply(render(await find(services, principal.tenant_id, batch_id)))
    try:
        await services.doorbell.ring_ingest(batch.id)
    except Unavailable:
        _log.warning("the broker is away: the sweep will have the file read", batch=batch.id.hex)
    return json_reply(render(batch))


@router.get("")
async def list_batches(request: Request) -> Response:
    """A tenant's batches, newest first."""
    principal = await authenticate(request)
    services: Services = request.app.state.services
    limit = query_integer(request, "limit", 20, low=1, high=100) or 20
    after = request.query_params.get("after")
    start = await _cursor(services, principal.tenant_id, after) if after else None
    rows = await batches.page(services.database, principal.tenant_id, start, limit + 1)
    return json_reply(page_of([render(row) for row in rows[:limit]], has_more=len(rows) > limit))


@router.get("/{batch_id}")
async def retrieve(request: Request, batch_id: str) -> Response:
    """One batch object."""
    principal = await authenticate(request)
    return json_reply(render(await find(request.app.state.services, principal.tenant_id, batch_id)))


@router.post("/{batch_id}/cancel")
async def cancel(request: Request, batch_id: str) -> Response:
    """End a batch early; what was answered is kept."""
    principal = await authenticate(request)
    services: Services = request.app.state.services
    batch = await find(services, principal.tenant_id, batch_id)
    if await batches.request_cancel(services.database, principal.tenant_id, batch.id):
        await order_stop(services.redis, "batch", batch.id, "cancelled")
        await wake_dispatcher(services.redis)
    elif batch.status not in ("cancelling", "cancelled"):
        ended = batch.status in TERMINAL
        status = f"with status '{batch.status}'" if ended else "that is ending by itself"
        raise InvalidRequest(f"Cannot cancel a batch {status}.")
    return json_reply(render(await find(services, principal.tenant_id, batch_id)))


async def find(services: Services, tenant_id: str, batch_id: str) -> Batch:
    """A batch by its public id.

    Raises:
        NotFound: this tenant has none.
    """
    batch = await batches.get(services.database, parse_id("batch_", batch_id, "batch"), tenant_id)
    if batch is None:
        raise NotFound(f"No batch found with id '{batch_id}'.")
    return batch


async def _cursor(services: Services, tenant_id: str, batch_id: str) -> Batch:
    try:
        return await find(services, tenant_id, batch_id)
    except NotFound as missing:
        raise InvalidRequest(missing.message, param="after", code="invalid_value") from None


def render(batch: Batch) -> dict[str, Any]:
    """The batch object of the vendor."""
    times = {name: getattr(batch, name) for name in _TIMES}
    end = expected_end(batch)
    return {
        "id": public_id("batch_", batch.id),
        "object": "batch",
        "endpoint": batch.endpoint,
        "model": batch.model,
        "errors": {"object": "list", "data": loads(batch.errors)} if batch.errors else None,
        "input_file_id": public_id("file-", batch.input_file_id),
        "completion_window": window_name(batch.window_seconds),
        "status": batch.status,
        "output_file_id": public_id("file-", batch.output_file_id) if batch.output_file_id else None,
        "error_file_id": public_id("file-", batch.error_file_id) if batch.error_file_id else None,
        **{name: int(at.timestamp()) if at else None for name, at in times.items()},
        "request_counts": {"total": batch.total, "completed": batch.completed, "failed": batch.failed},
        "metadata": loads(batch.metadata) if batch.metadata else None,
        "usage": {
            "input_tokens": batch.input_tokens,
            "input_tokens_details": {"cached_tokens": batch.cached_tokens},
            "output_tokens": batch.output_tokens,
            "output_tokens_details": {"reasoning_tokens": batch.reasoning_tokens},
            "total_tokens": batch.input_tokens + batch.output_tokens,
        },
        # not the vendor's: what it cost so far, in US dollars (null when some answer's price is not known), where its
        # end is told, its place in the order, and when it is expected to end
        "cost": None if batch.unpriced else float(batch.cost),
        "callback_url": batch.callback_url,
        "priority": batch.priority,
        "estimated_completion_at": int(end.timestamp()) if end is not None else None,
        "warning": warning(batch),
    }


def checked_metadata(value: Any) -> dict[str, str] | None:
    """Up to 16 pairs of short strings.

    Raises:
        InvalidRequest: it is not that.
    """
    if value is None:
        return None
    good = isinstance(value, dict) and len(value) <= 16
    if not good or not all(
        isinstance(key, str) and len(key) <= 64 and isinstance(text, str) and len(text) <= 512
        for key, text in value.items()
    ):
        raise InvalidRequest(
            "'metadata' must be an object of at most 16 pairs, keys of up to 64 characters, values strings of up to"
            " 512 characters.",
            param="metadata",
            code="invalid_value",
        )
    return dict(value)


def _output_expiry(value: Any) -> int | None:
    if value is None:
        return None
    if not isinstance(value, dict) or value.get("anchor") != "created_at":
        raise InvalidRequest(
            "'output_expires_after.anchor' must be 'created_at'.", param="output_expires_after", code="invalid_value"
        )
    seconds = value.get("seconds")
    if not isinstance(seconds, int) or not 3600 <= seconds <= 2_592_000:
        raise InvalidRequest(
            "'output_expires_after.seconds' must be an integer between 3600 and 2592000.",
            param="output_expires_after",
            code="invalid_value",
        )
    return seconds
