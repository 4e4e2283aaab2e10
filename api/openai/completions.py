"""`/v1/completions` (contract §5)."""

from fastapi import APIRouter, Request
from fastapi.responses import Response

from api.auth import authenticate
from api.bodies import completion_body, wants_usage
from api.foreground import ForegroundStream, answer
from api.replies import event_stream, json_reply
from api.services import Services
from penstock.dialects import openai_completions

router = APIRouter(prefix="/v1/completions", tags=["completions"])

DIALECT = "openai.completions"


@router.post("")
async def create(request: Request) -> Response:
    """One legacy completion, plain or streamed; it runs as a job through the interactive lane."""
    principal = await authenticate(request)
    services: Services = request.app.state.services
    body = await completion_body(request)
    if not body.get("stream"):
        facts = await answer(services, request, principal, DIALECT, body)
        return json_reply(openai_completions.render(facts))
    foreground = ForegroundStream(services, request, principal)
    stream = openai_completions.TextStream(await foreground.open(DIALECT, body), include_usage=wants_usage(body))
    return event_stream(foreground.frames(stream.open, stream.event, stream.close))
