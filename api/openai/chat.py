"""`/v1/chat/completions` (contract §4)."""

from fastapi import APIRouter, Request
from fastapi.responses import Response

from api.auth import authenticate
from api.bodies import completion_body, wants_usage
from api.foreground import ForegroundStream, answer
from api.replies import event_stream, json_reply
from api.services import Services
from penstock.dialects import openai_chat

router = APIRouter(prefix="/v1/chat/completions", tags=["chat"])

DIALECT = "openai.chat"


@router.post("")
async def create(request: Request) -> Response:
    """One completion, plain or streamed; it runs as a job through the interactive lane."""
    principal = await authenticate(request)
    services: Services = request.app.state.services
    body = await completion_body(request)
    if not body.get("stream"):
        facts = await answer(services, request, principal, DIALECT, body)
        return json_reply(openai_chat.render(facts))
    foreground = ForegroundStream(services, request, principal)
    stream = openai_chat.ChatStream(await foreground.open(DIALECT, body), include_usage=wants_usage(body))
    frames = foreground.frames(stream.open, stream.event, stream.close, on_lost=stream.interrupted)
    return event_stream(frames)
