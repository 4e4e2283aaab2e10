"""`/v1/responses` (contract §8, §9)."""

from collections.abc import AsyncIterator, Iterable
from typing import Any

from fastapi import APIRouter, Request
from fastapi.responses import Response

from api.auth import Principal, authenticate
from api.bodies import json_object, query_integer
from api.foreground import ForegroundStream, answer
from api.replies import event_stream, json_reply
from api.services import Services
from api.watch import Watch, cancel, load
from penstock.dialects import openai_responses
from penstock.dialects.facts import JobFacts
from penstock.dialects.openai_responses import ResponsesStream, StreamFrame
from penstock.errors import InvalidRequest, NotFound
from penstock.ids import parse_id
from penstock.store import jobs
from penstock.streams.entries import Ended, Reset, Started
from penstock.submission.results import facts_of

router = APIRouter(prefix="/v1/responses", tags=["responses"])

DIALECT = "openai.responses"
_BEFORE_ALL = -1
_NEVER = 2**53


@router.post("")
async def create(request: Request) -> Response:
    """A response: in the foreground, or in the background where its work survives whatever becomes of the client."""
    principal = await authenticate(request)
    services: Services = request.app.state.services
    body = await json_object(request)
    background, stream = body.get("background") is True, body.get("stream") is True
    if background:
        return await _background(services, principal, body, stream=stream)
    if body.get("callback_url") is not None:
        message = "'callback_url' goes with 'background' true: the end of a foreground response is its answer."
        raise InvalidRequest(message, param="callback_url", code="invalid_value")
    if stream:
        return await _foreground_stream(services, request, principal, body)
    facts = await answer(services, request, principal, DIALECT, body)
    if body.get("store") is False:
        await jobs.delete(services.database, principal.tenant_id, facts.id)
    return json_reply(openai_responses.render(facts))


async def _background(services: Services, principal: Principal, body: dict[str, Any], *, stream: bool) -> Response:
    submitted = await services.submission.prepare(
        principal.tenant_id,
        principal.tier,
        DIALECT,
        body,
        interactive=False,
        stream=stream,
        callback_url=await services.webhooks.callback_url(principal.tenant_id, body.get("callback_url")),
    )
    created_at = await services.submission.store(submitted)
    facts = JobFacts(
        id=submitted.job.id,
        created_at=int(created_at.timestamp()),
        finished_at=None,
        state="pending",
        started=False,
        background=True,
        model=submitted.job.model,
        body=body,
        result=None,
        error=None,
    )
    if stream:
        return event_stream(_live(services, facts, principal.tenant_id, _BEFORE_ALL))
    return json_reply(openai_responses.render(facts))


async def _foreground_stream(
    services: Services, request: Request, principal: Principal, body: dict[str, Any]
) -> Response:
    foreground = ForegroundStream(services, request, principal)
    stream = ResponsesStream(await foreground.open(DIALECT, body))

    def start() -> list[bytes]:
        return [frame.data for frame in (*stream.open(), *stream.started())]

    return event_stream(
        foreground.frames(
            start,
            lambda event: [frame.data for frame in stream.event(event)],
            lambda facts: [frame.data for frame in stream.close(facts)],
        )
    )


@router.get("/{response_id}")
async def retrieve(request: Request, response_id: str) -> Response:
    """The response object, or its events from the beginning or from after `starting_after`."""
    principal = await authenticate(request)
    services: Services = request.app.state.services
    after = query_integer(request, "starting_after", _BEFORE_ALL, low=0, high=_NEVER)
    facts = await _find(services, principal.tenant_id, response_id)
    if request.query_params.get("stream", "false").lower() != "true":
        return json_reply(openai_responses.render(facts))
    return event_stream(_live(services, facts, principal.tenant_id, _BEFORE_ALL if after is None else after))


@router.post("/{response_id}/cancel")
async def cancel_response(request: Request, response_id: str) -> Response:
    """End a background response; one that had ended stays as it is."""
    principal = await authenticate(request)
    services: Services = request.app.state.services
    facts = await _find(services, principal.tenant_id, response_id)
    if not facts.background:
        raise InvalidRequest("Only responses with 'background' true can be cancelled.")
    await cancel(services, principal.tenant_id, facts.id)
    return json_reply(openai_responses.render(await _find(services, principal.tenant_id, response_id)))


@router.delete("/{response_id}")
async def delete(request: Request, response_id: str) -> Response:
    """Remove a response; a running one is cancelled first."""
    principal = await authenticate(request)
    services: Services = request.app.state.services
    facts = await _find(services, principal.tenant_id, response_id)
    await cancel(services, principal.tenant_id, facts.id)
    await jobs.delete(services.database, principal.tenant_id, facts.id)
    return json_reply({"id": response_id, "object": "response", "deleted": True})


async def _find(services: Services, tenant_id: str, response_id: str) -> JobFacts:
    job_id = parse_id("resp_", response_id, "response")
    row = await load(services, tenant_id, job_id, (DIALECT,), response_id)
    if row.batch_id is not None:
        raise NotFound(f"No response found with id '{response_id}'.")
    return facts_of(row)


async def _live(services: Services, facts: JobFacts, tenant_id: str, after: int) -> AsyncIterator[bytes]:
    """Every event after number `after`: the past at once, then what comes. Hanging up changes nothing for the job."""
    stream = ResponsesStream(facts)

    def wanted(frames: Iterable[StreamFrame]) -> bytes:
        return b"".join(frame.data for frame in frames if frame.sequence_number > after)

    if facts.ended:
        yield wanted(stream.open()) + wanted(replay(stream, facts))
        return
    async with Watch(services, facts.id) as watch:
        watch.begin()
        yield wanted(stream.open())
        async for entry in watch.entries():
            if entry is None:
                yield b": keep-alive\n\n"
            elif isinstance(entry, Started):
                yield wanted(stream.started())
            elif isinstance(entry, Ended):
                row = await jobs.load(services.database, tenant_id, facts.id)
                if row is not None:
                    # what was not seen live is told from the stored result: both are the same events
                    yield wanted(stream.close(facts_of(row)))
                return
            elif isinstance(entry, Reset):
                yield wanted([stream.interrupted()])
                return
            else:
                yield wanted(stream.event(entry))


def replay(stream: ResponsesStream, facts: JobFacts) -> Iterable[StreamFrame]:
    """The events after the opening ones of a response that ended."""
    if facts.started:
        yield from stream.started()
    if facts.result is not None:
        for event in facts.result.events():
            yield from stream.event(event)
    yield from stream.close(facts)
