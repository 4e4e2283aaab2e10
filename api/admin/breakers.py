"""`/admin/breakers`: which providers are ill, for how long they are left alone, and what changed lately."""

from fastapi import APIRouter, Request
from fastapi.responses import Response

from api.auth import authenticate_admin
from api.bodies import query_integer
from api.replies import json_reply
from api.services import Services

router = APIRouter(prefix="/admin/breakers", tags=["admin"])

_EVENTS = 100


@router.get("")
async def list_breakers(request: Request) -> Response:
    """The circuit breaker of every upstream model."""
    await authenticate_admin(request)
    services: Services = request.app.state.services
    data = [
        {
            "object": "breaker",
            "upstream": str(breaker.gate.scope),
            "models": list(breaker.deployments),
            "state": breaker.state,
            "open_for_seconds": breaker.shut,
            "probes_left": breaker.probes_left if breaker.state != "closed" else None,
            "transitions": breaker.became,
        }
        for breaker in await services.breakers.states()
    ]
    return json_reply({"object": "list", "data": data})


@router.get("/events")
async def list_events(request: Request) -> Response:
    """The latest changes of breakers, newest first."""
    await authenticate_admin(request)
    services: Services = request.app.state.services
    limit = query_integer(request, "limit", _EVENTS, low=1, high=1000) or _EVENTS
    data = [
        {"object": "breaker.event", "upstream": change.upstream, "state": change.state, "at": change.at.isoformat()}
        for change in await services.breakers.transitions(limit)
    ]
    return json_reply({"object": "list", "data": data})
