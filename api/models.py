"""`/v1/models`, a path of both vendors: each client gets its own vendor's objects."""

from fastapi import APIRouter, Request
from fastapi.responses import Response

from api.anthropic import models as anthropic
from api.auth import authenticate
from api.openai import models as openai
from api.replies import json_reply
from api.services import Services
from api.vendors import speaks_anthropic

router = APIRouter(prefix="/v1/models", tags=["models"])


@router.get("")
async def list_models(request: Request) -> Response:
    """Every model and every route that the tenant may use."""
    tenant = (await authenticate(request)).tenant_id
    services: Services = request.app.state.services
    if speaks_anthropic(request.scope):
        return json_reply(anthropic.page(services.deployments, tenant, request))
    return json_reply(openai.whole_list(services.deployments, tenant))


@router.get("/{model:path}")
async def retrieve(request: Request, model: str) -> Response:
    """One model; its name may contain slashes."""
    tenant = (await authenticate(request)).tenant_id
    services: Services = request.app.state.services
    show = anthropic.show if speaks_anthropic(request.scope) else openai.show
    return json_reply(show(services.deployments, model, tenant))
