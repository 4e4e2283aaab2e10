"""`/v1/batches/{id}/results` and `/costs`: a batch's lines as they finish, and what each cost. Not the vendor's."""

from collections.abc import AsyncIterator

from fastapi import APIRouter, Request
from fastapi.responses import Response, StreamingResponse

from api.auth import authenticate
from api.bodies import query_integer
from api.openai.batches import find
from api.services import Services
from api.watch import HEARTBEAT_SECONDS
from penstock.completion.encoding import dumps
from penstock.errors import InvalidRequest, NotFound
from penstock.store import attempts, files
from penstock.store.attempts import LineCost
from penstock.store.batches import Batch
from penstock.submission.live_results import finished_lines, follow_lines

router = APIRouter(prefix="/v1/batches", tags=["batches"])

#: a batch has fewer lines than this
_MOST = 2**31 - 1
_COSTS_PAGE = 2000


@router.get("/{batch_id}/results")
async def results(request: Request, batch_id: str) -> Response:
    """Newline-delimited JSON: what an output or error file holds, and each line's `number`.

    From just after number `after`; with `follow=true` the connection stays until the batch has ended, and an empty
    line is sent in long silences.
    """
    principal = await authenticate(request)
    services: Services = request.app.state.services
    after = query_integer(request, "after", 0, low=0, high=_MOST) or 0
    follow = _flag(request, "follow")
    batch = await find(services, principal.tenant_id, batch_id)
    await _check_kept(services, batch)
    lines = _following(services, batch, after) if follow else finished_lines(services.database, batch, after)
    return StreamingResponse(
        lines,
        media_type="application/x-ndjson",
        headers={"cache-control": "no-cache", "x-accel-buffering": "no"},
    )


@router.get("/{batch_id}/costs")
async def costs(request: Request, batch_id: str) -> Response:
    """Newline-delimited JSON: what the upstream calls of each line that has ended cost, in input order."""
    principal = await authenticate(request)
    services: Services = request.app.state.services
    batch = await find(services, principal.tenant_id, batch_id)
    await _check_kept(services, batch)
    return StreamingResponse(_costs(services, batch), media_type="application/x-ndjson")


async def _costs(services: Services, batch: Batch) -> AsyncIterator[bytes]:
    line = 0
    while rows := await attempts.costs_of_batch(services.database, batch.id, line, _COSTS_PAGE):
        yield b"".join(_cost(row) for row in rows)
        line = rows[-1].line


def _cost(row: LineCost) -> bytes:
    cost = float(row.cost) if row.cost is not None else None
    value = {"custom_id": row.custom_id, "model": row.model, "cost": cost, "calls": row.calls}
    return dumps(value) + b"\n"


async def _following(services: Services, batch: Batch, after: int) -> AsyncIterator[bytes]:
    async for page in follow_lines(services.database, batch.id, after, HEARTBEAT_SECONDS):
        yield b"\n" if page is None else page


async def _check_kept(services: Services, batch: Batch) -> None:
    """What is gone as a file is gone here too."""
    if batch.results_gone_at is not None:
        raise NotFound("The results of this batch were removed because of their age.")
    for file_id in (batch.output_file_id, batch.error_file_id):
        if file_id is not None and await files.get(services.database, batch.tenant_id, file_id) is None:
            raise NotFound("The results of this batch have expired or were deleted.")


def _flag(request: Request, name: str) -> bool:
    text = request.query_params.get(name, "false")
    if text not in ("true", "false"):
        raise InvalidRequest(f"'{name}' must be 'true' or 'false'.", param=name, code="invalid_value")
    return text == "true"
