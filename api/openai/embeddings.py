"""`/v1/embeddings` (contract §6)."""

import asyncio

from fastapi import APIRouter, Request
from fastapi.responses import Response

from api.auth import authenticate
from api.bodies import completion_body
from api.foreground import answer
from api.replies import json_reply
from api.services import Services
from penstock.dialects import openai_embeddings

router = APIRouter(prefix="/v1/embeddings", tags=["embeddings"])

DIALECT = "openai.embeddings"


@router.post("")
async def create(request: Request) -> Response:
    """The vectors of some texts; they are made by a job in the interactive lane."""
    principal = await authenticate(request)
    services: Services = request.app.state.services
    facts = await answer(services, request, principal, DIALECT, await completion_body(request))
    # Written out, thousands of vectors are tens of megabytes: other requests must not wait for that.
    return await asyncio.to_thread(lambda: json_reply(openai_embeddings.render(facts)))
