"""`/v1/responses` (contract §8, §9)."""

from collections.abc import AsyncIterator
from typing import Any

from fastapi import APIRouter, Request
from fastapi.responses import Response

from api.auth import Principal, authenticate
from api.bodies import completion_body, json_object, query_integer, query_word
from api.foreground import ForegroundStream, answer
from api.idempotency import key_of, made_before
from api.openai.files import page_of
from api.replies import event_stream, json_reply
from api.services import Services
from api.urgency import priority_of, window_seconds
from api.watch import Watch, cancel, load
from penstock.dialects import openai_responses
from penstock.dialects.facts import JobFacts
from penstock.dialects.openai_responses import ResponsesStream, joined
from penstock.errors import InvalidRequest, NotFound
from penstock.ids import parse_id, public_id
from penstock.store import jobs
from penstock.store.idempotency import Repeated
from penstock.streams.entries import Ended, Reset, Started
from penstock.submission.results import facts_of

router = APIRouter(prefix="/v1/responses", tags=["responses"])

DIALECT = "openai.responses"
_ROUTE = "/v1/responses"
_BEFORE_ALL = -1
_NEVER = 2**53


@router.post("")
async def create(request: Request) -> Response:
    """A response: in the foreground, or in the background where its work survives whatever becomes of the client."""
    principal = await authenticate(request)
    services: Services = request.app.state.services
    body = await completion_body(request)
    background, stream = body.get("background") is True, body.get("stream") is True
    if background:
        facts = await _submit(services, request, principal, body, stream=stream)
        if stream:
            return event_stream(_live(services, facts, principal.tenant_id, _BEFORE_ALL))
        return json_reply(openai_responses.render(facts))
    if body.get("callback_url") is not None:
        message = "'callback_url' goes with 'background' true: the end of a foreground response is its answer."
        raise InvalidRequest(message, param="callback_url", code="invalid_value")
    if stream:
        return await _foreground_stream(services, request, principal, body)
    facts = await answer(services, request, principal, DIALECT, body)
    if body.get("store") is False:
        await jobs.delete(services.database, principal.tenant_id, facts.id)
    return json_reply(openai_responses.render(facts))


async def _submit(
    services: Services, request: Request, principal: Principal, body: dict[str, Any], *, stream: bool
) -> JobFacts:
    """A new background response, or the one that the request's Idempotency-Key has made."""
    key = key_of(request, principal, _ROUTE, body)
    found = await made_before(services, key)
    if found is not None:
        return await _find(services, principal.tenant_id, public_id("resp_", found))
    submitted = await services.submission.prepare(
        principal.tenant_id,
        DIALECT,
        body,
        interactive=False,
        stream=stream,
        callback_url=await services.webhooks.callback_url(principal.tenant_id, body.get("callback_url")),
        priority=priority_of(request),
        window_seconds=_window(body),
        residency=principal.residency,
    )
    try:
        created_at = await services.submission.store(submitted, key)
    except Repeated as repeated:
        return await _find(services, principal.tenant_id, public_id("resp_", repeated.object_id))
    return JobFacts(
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


def _window(body: dict[str, Any]) -> int | None:
    """How long a background response may take; None where it was not said, or the body is wrong, as is told then."""
    options = body.get("background_options")
    window = options.get("completion_window") if isinstance(options, dict) else None
    return window_seconds(window) if window in openai_responses.WINDOWS and window != "soonest" else None


async def _foreground_stream(
    services: Services, request: Request, principal: Principal, body: dict[str, Any]
) -> Response:
    foreground = ForegroundStream(services, request, principal, keep=body.get("store") is not False)
    stream = ResponsesStream(await foreground.open(DIALECT, body))
    return event_stream(
        foreground.frames(
            lambda: [joined([*stream.open(), *stream.started()])],
            lambda event: [joined(stream.event(event))],
            lambda facts: [joined(stream.close(facts))],
            on_lost=lambda: [stream.interrupted().data],
        )
    )


@router.post("/input_tokens")
async def count_input_tokens(request: Request) -> Response:
    """About how many tokens the input of such a response has. An estimate: no provider is asked."""
    principal = await authenticate(request)
    services: Services = request.app.state.services
    count = await services.submission.count_tokens(principal.tenant_id, await json_object(request))
    return json_reply({"object": "response.input_tokens", "input_tokens": count})


@router.get("/{response_id}")
async def retrieve(request: Request, response_id: str) -> Response:
    """The response object, or its events from the beginning or from after `starting_after`."""
    principal = await authenticate(request)
    services: Services = request.app.state.services
    stream = query_word(request, "stream", ("false", "true")) == "true"
    after = query_integer(request, "starting_after", _BEFORE_ALL, low=0, high=_NEVER)
    facts = await _find(services, principal.tenant_id, response_id)
    if not stream:
        return json_reply(openai_responses.render(facts))
    return event_stream(_live(services, facts, principal.tenant_id, _BEFORE_ALL if after is None else after))


@router.get("/{response_id}/input_items")
async def list_input_items(request: Request, response_id: str) -> Response:
    """What a response was asked, without what it continues; newest first unless `order=asc`."""
    principal = await authenticate(request)
    limit = query_integer(request, "limit", 20, low=1, high=100) or 20
    order = query_word(request, "order", ("desc", "asc"))
    facts = await _find(request.app.state.services, principal.tenant_id, response_id)
    items = openai_responses.input_items(facts)
    if order == "desc":
        items.reverse()
    after, start = request.query_params.get("after"), 0
    if after is not None:
        start = next((place for place, item in enumerate(items, 1) if item["id"] == after), 0)
        if not start:
            raise InvalidRequest(f"There is no input item with id '{after}'.", param="after", code="invalid_value")
    return json_reply(page_of(items[start : start + limit], has_more=len(items) > start + limit))


@router.post("/{response_id}/cancel")
async def cancel_response(request: Request, response_id: str) -> Response:
    """End a background response; one that had ended stays as it is."""
    principal = await authenticate(request)
    services: Services = request.app.state.services
    facts = await _find(services, principal.tenant_id, response_id)
    if not facts.background:
        raise InvalidRequest("Only responses with 'background' true can be cancelled.")
    if not facts.ended:
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
    """A response that can be retrieved: no line of a batch, and no foreground one that was not to be stored."""
    job_id = parse_id("resp_", response_id, "response")
    row = await load(services, tenant_id, job_id, (DIALECT,), response_id)
    facts = facts_of(row)
    if row.batch_id is not None or not (facts.background or facts.body.get("store") is not False):
        raise NotFound(f"No response found with id '{response_id}'.")
    return facts


async def _live(services: Services, facts: JobFacts, tenant_id: str, after: int) -> AsyncIterator[bytes]:
    """Every event after number `after`: the past at once, then what comes. Hanging up changes nothing for the job."""
    stream = ResponsesStream(facts)
    if facts.ended:
        yield joined(stream.close(facts), after)
        return
    async with Watch(services, facts.id) as watch:
        watch.begin()
        yield joined(stream.open(), after)
        async for entry in watch.entries():
            if entry is None:
                yield b": keep-alive\n\n"
            elif isinstance(entry, Started):
                yield joined(stream.started(), after)
            elif isinstance(entry, Ended):
                row = await jobs.load(services.database, tenant_id, facts.id)
                if row is not None:
                    # what was not seen live is told from the stored result: both are the same events
                    yield joined(stream.close(facts_of(row)), after)
                return
            elif isinstance(entry, Reset):
                yield stream.interrupted().data
                return
            else:
                yield joined(stream.event(entry), after)
