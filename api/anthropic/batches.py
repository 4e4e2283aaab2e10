"""`/v1/messages/batches` (contract §14)."""

from datetime import UTC, datetime
from typing import Any
from uuid import UUID

import structlog
from fastapi import APIRouter, Request
from fastapi.responses import Response, StreamingResponse

from api.anthropic.pages import PageQuery, page_of
from api.auth import authenticate
from api.bodies import check_declared_length
from api.estimates import expected_end, warning
from api.idempotency import key_of
from api.origins import client_origin
from api.replies import json_reply
from api.services import Services
from api.urgency import priority_of
from penstock.errors import InvalidRequest, NotFound, Unavailable
from penstock.ids import parse_id, public_id
from penstock.store import batches as rows
from penstock.store import message_batches as store
from penstock.store.batches import Batch
from penstock.store.idempotency import Repeated
from penstock.submission import message_batches
from penstock.submission.doorbells import order_stop, wake_dispatcher
from penstock.submission.finalize import finalize_batch

PATH = "/v1/messages/batches"
router = APIRouter(prefix=PATH, tags=["message batches"])

_PREFIX, _NOUN = "msgbatch_", "message batch"

_log = structlog.get_logger()


@router.post("")
async def create(request: Request) -> Response:
    """Accept a batch; its requests are made into jobs by a worker."""
    principal = await authenticate(request)
    services: Services = request.app.state.services
    limits = services.settings.config.batches
    check_declared_length(request, limits.max_message_bytes)
    try:
        batch = await message_batches.create(
            services.database,
            principal.tenant_id,
            request.stream(),
            limits,
            priority_of(request),
            principal.residency,
            lambda digest: key_of(request, principal, PATH, None, digest),
        )
    except Repeated as repeated:
        made = await _find(services, principal.tenant_id, public_id(_PREFIX, repeated.object_id))
        return json_reply(render(made, client_origin(request)))
    try:
        await services.doorbell.ring_ingest(batch.id)
    except Unavailable:
        _log.warning("the broker is away: the sweep will have the requests read", batch=batch.id.hex)
    return json_reply(render(batch, client_origin(request)))


@router.get("")
async def list_batches(request: Request) -> Response:
    """A tenant's batches, newest first: a page after or before one of them."""
    principal = await authenticate(request)
    services: Services = request.app.state.services
    query = PageQuery.of(request)
    param, cursor = ("before_id", query.before_id) if query.before_id else ("after_id", query.after_id)
    found = await store.page(
        services.database,
        principal.tenant_id,
        side="before" if query.before_id else "after",
        cursor=_cursor(param, cursor) if cursor else None,
        limit=query.limit + 1,
    )
    if found is None:
        raise _names_nothing(param)
    shown = found[-query.limit :] if query.before_id else found[: query.limit]
    origin = client_origin(request)
    return json_reply(page_of([render(batch, origin) for batch in shown], has_more=len(found) > query.limit))


@router.get("/{batch_id}")
async def retrieve(request: Request, batch_id: str) -> Response:
    """One batch object."""
    principal = await authenticate(request)
    batch = await _find(request.app.state.services, principal.tenant_id, batch_id)
    return json_reply(render(batch, client_origin(request)))


@router.get("/{batch_id}/results")
async def results(request: Request, batch_id: str) -> Response:
    """What became of every request, once the batch has ended; in the order of the requests."""
    principal = await authenticate(request)
    services: Services = request.app.state.services
    batch = await _find(services, principal.tenant_id, batch_id)
    if ended_at(batch) is None:
        raise NotFound(f"The message batch '{batch_id}' has no results yet: it is still being processed.")
    if batch.results_gone_at is not None:
        raise NotFound(f"The results of the message batch '{batch_id}' were removed because of their age.")
    return StreamingResponse(message_batches.results(services.database, batch), media_type="application/x-jsonl")


@router.post("/{batch_id}/cancel")
async def cancel(request: Request, batch_id: str) -> Response:
    """End a batch early; what was answered is kept. One that has ended, or is about to, is left as it is."""
    principal = await authenticate(request)
    services: Services = request.app.state.services
    batch = await _find(services, principal.tenant_id, batch_id)
    if await rows.request_cancel(services.database, principal.tenant_id, batch.id):
        await order_stop(services.redis, "batch", batch.id, "cancelled")
        await wake_dispatcher(services.redis)
    else:
        # all its requests may have ended a moment ago: then it is ended here, so that the answer says so
        await finalize_batch(services.database, batch.id)
    batch = await _find(services, principal.tenant_id, batch_id)
    return json_reply(render(batch, client_origin(request)))


@router.delete("/{batch_id}")
async def delete(request: Request, batch_id: str) -> Response:
    """Remove a batch that has ended, with its requests and results."""
    principal = await authenticate(request)
    services: Services = request.app.state.services
    batch = await _find(services, principal.tenant_id, batch_id)
    if ended_at(batch) is None:
        raise InvalidRequest("A message batch can be deleted once it has ended; cancel it first.")
    if not await store.delete(services.database, principal.tenant_id, batch.id):
        raise _not_found(batch_id)
    return json_reply({"id": batch_id, "type": "message_batch_deleted"})


async def _find(services: Services, tenant_id: str, batch_id: str) -> Batch:
    batch = await store.get(services.database, tenant_id, parse_id(_PREFIX, batch_id, _NOUN))
    if batch is None:
        raise _not_found(batch_id)
    return batch


def _cursor(param: str, text: str) -> UUID:
    try:
        return parse_id(_PREFIX, text, _NOUN)
    except NotFound:
        raise _names_nothing(param) from None


def _not_found(batch_id: str) -> NotFound:
    return NotFound(f"No {_NOUN} found with id '{batch_id}'.")


def _names_nothing(param: str) -> InvalidRequest:
    return InvalidRequest(f"'{param}' names nothing in this list.", param=param, code="invalid_value")


def render(batch: Batch, origin: str) -> dict[str, Any]:
    """The batch object of the vendor. `origin` is where the client finds the service; empty makes the URL relative."""
    batch_id, ended = public_id(_PREFIX, batch.id), ended_at(batch)
    open_status = "canceling" if batch.status == "cancelling" else "in_progress"
    return {
        "id": batch_id,
        "type": "message_batch",
        "processing_status": "ended" if ended is not None else open_status,
        "request_counts": request_counts(batch),
        "created_at": _time(batch.created_at),
        "expires_at": _time(batch.expires_at),
        "ended_at": _time(ended),
        "cancel_initiated_at": _time(batch.cancelling_at),
        "archived_at": _time(batch.results_gone_at),
        "results_url": f"{origin}{PATH}/{batch_id}/results" if ended is not None else None,
        # not the vendor's
        "estimated_completion_at": _time(expected_end(batch)),
        "warning": warning(batch),
    }


def request_counts(batch: Batch) -> dict[str, int]:
    """What became of the requests: nothing is told before all have ended, and the sum is always the total.

    A batch ends for one reason, so the requests that got no answer have all ended in the same way.
    """
    counts = {"processing": 0, "succeeded": 0, "errored": 0, "canceled": 0, "expired": 0}
    if ended_at(batch) is None:
        return counts | {"processing": batch.total}
    rest = batch.total - batch.completed - batch.failed
    unanswered = "expired" if batch.ending == "expired" else "canceled"
    return counts | {"succeeded": batch.completed, "errored": batch.failed, unanswered: rest}


def ended_at(batch: Batch) -> datetime | None:
    """When a batch ended, None before."""
    return batch.completed_at or batch.cancelled_at or batch.expired_at


def _time(at: datetime | None) -> str | None:
    """As RFC 3339 writes it, in UTC."""
    return at.astimezone(UTC).isoformat(timespec="microseconds").replace("+00:00", "Z") if at is not None else None
