"""`/v1/jobs`: Penstock's own API to one durable job."""

from collections.abc import AsyncIterator
from typing import Any

from fastapi import APIRouter, Request
from fastapi.responses import Response

from api.auth import authenticate
from api.bodies import completion_body
from api.idempotency import key_of, made_before
from api.jobs.attempts import render_attempts
from api.replies import event_stream, json_reply
from api.services import Services
from api.urgency import priority_of, window_seconds
from api.watch import Watch, cancel, load
from penstock.dialects import job as dialect
from penstock.dialects import registry
from penstock.errors import InvalidRequest
from penstock.ids import parse_id, public_id
from penstock.store import attempts, jobs
from penstock.store.idempotency import Repeated
from penstock.store.jobs import JobRow
from penstock.streams.entries import Ended, Reset, Started
from penstock.submission.results import facts_of

router = APIRouter(prefix="/v1/jobs", tags=["jobs"])

_ROUTE = "/v1/jobs"
DIALECTS = registry.names()


@router.post("")
async def create(request: Request) -> Response:
    """Accept a job; it is durable once this answered."""
    principal = await authenticate(request)
    services: Services = request.app.state.services
    body = await completion_body(request)
    key = key_of(request, principal, _ROUTE, body)
    job_id = await made_before(services, key)
    if job_id is None:
        submitted = await services.submission.prepare(
            principal.tenant_id,
            "job",
            body,
            interactive=False,
            stream=body.get("stream") is True,
            callback_url=await services.webhooks.callback_url(principal.tenant_id, body.get("callback_url")),
            priority=priority_of(request, body),
            window_seconds=window_seconds(window) if (window := body.get("completion_window")) is not None else None,
            residency=principal.residency,
        )
        job_id = submitted.job.id
        try:
            await services.submission.store(submitted, key)
        except Repeated as repeated:
            job_id = repeated.object_id
    row = await load(services, principal.tenant_id, job_id, DIALECTS, public_id("job_", job_id))
    return await _reply(services, row, status=202)


@router.get("/{job_id}")
async def retrieve(request: Request, job_id: str) -> Response:
    """A job, its upstream calls and, once it ended, its answer. Lines of batches and responses have this view too."""
    principal = await authenticate(request)
    services: Services = request.app.state.services
    return await _reply(services, await _find(services, principal.tenant_id, job_id))


@router.post("/{job_id}/cancel")
async def cancel_job(request: Request, job_id: str) -> Response:
    """End a job; one that had ended stays as it is."""
    principal = await authenticate(request)
    services: Services = request.app.state.services
    row = await _find(services, principal.tenant_id, job_id)
    if row.batch_id is not None:
        raise InvalidRequest("This job is a line of a batch: cancel the batch.")
    await cancel(services, principal.tenant_id, row.id)
    return await _reply(services, await _find(services, principal.tenant_id, job_id))


@router.get("/{job_id}/stream")
async def stream(request: Request, job_id: str) -> Response:
    """Server-sent events of a job, from after `Last-Event-ID`."""
    principal = await authenticate(request)
    services: Services = request.app.state.services
    last = request.headers.get("last-event-id", "0")
    if not (last.isascii() and last.isdecimal() and len(last) < 19):
        raise InvalidRequest("'Last-Event-ID' must be a number.", param="Last-Event-ID", code="invalid_type")
    row = await _find(services, principal.tenant_id, job_id)
    return event_stream(_events(services, row, int(last)))


async def _find(services: Services, tenant_id: str, job_id: str) -> JobRow:
    return await load(services, tenant_id, parse_id("job_", job_id, "job"), DIALECTS, job_id)


async def _reply(services: Services, row: JobRow, *, status: int = 200) -> Response:
    return json_reply(await _view(services, row), status=status)


async def _view(services: Services, row: JobRow) -> dict[str, Any]:
    calls = render_attempts(await attempts.of_job(services.database, row.id))
    return {
        **dialect.render(facts_of(row)),
        "priority": row.priority,
        "expires_at": int(row.expires_at.timestamp()) if row.expires_at else None,
        "deployment": row.deployment,
        **calls,
    }


async def _events(services: Services, row: JobRow, after: int) -> AsyncIterator[bytes]:
    facts = facts_of(row)
    events = dialect.JobStream(facts, after)
    if facts.ended:
        yield b"".join([*events.missed(facts), *events.close(await _view(services, row))])
        return
    async with Watch(services, facts.id) as watch:
        watch.begin()
        async for entry in watch.entries():
            if entry is None:
                yield b": keep-alive\n\n"
            elif isinstance(entry, Started):
                yield b"".join(events.started())
            elif isinstance(entry, Reset):
                yield b"".join(events.reset())
            elif isinstance(entry, Ended):
                final = await jobs.load(services.database, row.tenant_id, row.id)
                if final is not None:
                    yield b"".join([*events.missed(facts_of(final)), *events.close(await _view(services, final))])
                return
            else:
                yield b"".join(events.event(entry))
