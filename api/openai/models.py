"""`/v1/models` (contract §7)."""

from typing import Any

from fastapi import APIRouter, Request
from fastapi.responses import Response

from api.auth import authenticate
from api.replies import json_reply
from api.services import Services

router = APIRouter(prefix="/v1/models", tags=["models"])

#: configured models have no time of creation of their own, and the schema wants one
_CREATED = 0
_ROUTE_OWNER = "penstock"


@router.get("")
async def list_models(request: Request) -> Response:
    """Every configured model, and every route."""
    await authenticate(request)
    services: Services = request.app.state.services
    names = [
        *((d.name, d.provider) for d in services.deployments),
        *((r, _ROUTE_OWNER) for r in services.deployments.routes),
    ]
    return json_reply({"object": "list", "data": [_render(name, owner) for name, owner in names]})


@router.get("/{model:path}")
async def retrieve(request: Request, model: str) -> Response:
    """One model; its name may contain slashes."""
    await authenticate(request)
    services: Services = request.app.state.services
    plan = services.deployments.plan(model)
    route = model in services.deployments.routes
    return json_reply(_render(model, _ROUTE_OWNER if route else plan.deployment.provider))


def _render(name: str, owner: str) -> dict[str, Any]:
    return {"id": name, "object": "model", "created": _CREATED, "owned_by": owner}
