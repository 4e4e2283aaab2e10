"""`/v1/models` (contract §7)."""

from typing import Any

from fastapi import APIRouter, Request
from fastapi.responses import Response

from api.auth import authenticate
from api.replies import json_reply
from api.services import Services
from penstock.providers.deployments import Deployment

router = APIRouter(prefix="/v1/models", tags=["models"])

#: configured models have no time of creation of their own, and the schema wants one
_CREATED = 0


@router.get("")
async def list_models(request: Request) -> Response:
    """Every configured model."""
    await authenticate(request)
    services: Services = request.app.state.services
    return json_reply({"object": "list", "data": [_render(deployment) for deployment in services.deployments]})


@router.get("/{model:path}")
async def retrieve(request: Request, model: str) -> Response:
    """One model; its name may contain slashes."""
    await authenticate(request)
    services: Services = request.app.state.services
    return json_reply(_render(services.deployments.for_model(model)))


def _render(deployment: Deployment) -> dict[str, Any]:
    return {"id": deployment.name, "object": "model", "created": _CREATED, "owned_by": deployment.provider}
