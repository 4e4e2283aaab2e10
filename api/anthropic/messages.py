"""`/v1/messages` (contract §12, §13)."""

from typing import Any

from fastapi import APIRouter, Request
from fastapi.responses import Response

from api.auth import Principal, authenticate
from api.bodies import completion_body, json_object
from api.foreground import ForegroundStream, answer
from api.replies import event_stream, json_reply
from api.response_headers import request_id
from api.services import Services
from penstock.dialects import anthropic_messages
from penstock.dialects.anthropic_messages import MessagesStream
from penstock.rules.estimates import prompt_tokens

router = APIRouter(prefix="/v1/messages", tags=["messages"])

DIALECT = "anthropic.messages"


@router.post("")
async def create(request: Request) -> Response:
    """One message, plain or streamed; it runs as a job through the interactive lane."""
    principal = await authenticate(request)
    services: Services = request.app.state.services
    body = await completion_body(request)
    if body.get("stream"):
        return await _streamed(services, request, principal, body)
    facts = await answer(services, request, principal, DIALECT, body)
    return json_reply(anthropic_messages.render(facts))


@router.post("/count_tokens")
async def count_tokens(request: Request) -> Response:
    """About how many tokens a prompt has. An estimate: no provider is asked."""
    principal = await authenticate(request)
    services: Services = request.app.state.services
    prompt = anthropic_messages.parse_prompt(await json_object(request))
    services.deployments.of(prompt.model, principal.tenant_id)
    return json_reply({"input_tokens": prompt_tokens(prompt)})


async def _streamed(services: Services, request: Request, principal: Principal, body: dict[str, Any]) -> Response:
    foreground = ForegroundStream(services, request, principal)
    facts = await foreground.open(DIALECT, body)
    stream = MessagesStream(
        facts, input_tokens=prompt_tokens(anthropic_messages.parse(body)), request_id=request_id(request)
    )
    return event_stream(
        foreground.frames(stream.open, stream.event, stream.close, on_silence=stream.ping, on_lost=stream.interrupted)
    )
