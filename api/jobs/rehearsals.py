"""`/v1/jobs/route`: where requests would go, before anything is spent."""

from collections.abc import Mapping
from typing import Any

from fastapi import APIRouter, Request
from fastapi.responses import Response

from api.auth import authenticate
from api.bodies import json_object
from api.replies import json_reply
from api.services import Services
from penstock.dialects import registry
from penstock.errors import InvalidRequest, error_to_json
from penstock.routing.router import explained
from penstock.submission.rehearsal import Rehearsed, rehearse, shares_of_steps

router = APIRouter(prefix="/v1/jobs", tags=["jobs"])

#: of one call
MAX_REQUESTS = 1000
DEFAULT_ENDPOINT = "/v1/chat/completions"
#: what a batch may hold requests of
ENDPOINTS = (*registry.endpoints(), "/v1/messages")


@router.post("/route")
async def rehearsal(request: Request) -> Response:
    """Where requests would go, and about what each would cost; nothing is stored and no model is asked."""
    principal = await authenticate(request)
    services: Services = request.app.state.services
    body = await json_object(request)
    dialect, bodies = _requests(body)
    found = await rehearse(services.submission, principal.tenant_id, dialect, bodies, principal.residency)
    if "requests" not in body and (refused := found[0].error) is not None:
        raise refused
    shares = await shares_of_steps(services.database, principal.tenant_id, found, services.settings.config.routes)
    return json_reply({"object": "list", "data": [_rendered(one, shares) for one in found]})


def _requests(body: dict[str, Any]) -> tuple[str, list[dict[str, Any]]]:
    """The dialect and the bodies: those of a batch's lines, or one job."""
    bodies = body.get("requests")
    if bodies is None:
        return "job", [body]
    if not isinstance(bodies, list):
        raise InvalidRequest("Invalid type for 'requests': expected an array.", param="requests", code="invalid_type")
    if not 1 <= len(bodies) <= MAX_REQUESTS:
        message = f"Invalid value for 'requests': it must hold 1 to {MAX_REQUESTS} requests."
        raise InvalidRequest(message, param="requests", code="invalid_value")
    for place, one in enumerate(bodies):
        if not isinstance(one, dict):
            message = f"Invalid type for 'requests[{place}]': expected an object."
            raise InvalidRequest(message, param=f"requests[{place}]", code="invalid_type")
    endpoint = body.get("endpoint", DEFAULT_ENDPOINT)
    if endpoint not in ENDPOINTS:
        message = f"Invalid value for 'endpoint': use one of {', '.join(ENDPOINTS)}."
        raise InvalidRequest(message, param="endpoint", code="invalid_value")
    return registry.for_endpoint(endpoint).name, bodies


def _rendered(one: Rehearsed, shares: Mapping[str, list[float]]) -> dict[str, Any]:
    if one.routed is None:
        assert one.error is not None  # one of the two is there
        told = {name: value for name, value in error_to_json(one.error).items() if name != "retry_after"}
        return {"model": one.model, "deployment": None, "error": told}
    routed = one.routed
    decision = routed.decision
    stages = decision.get("stages") if decision is not None else None
    return {
        "model": one.model,
        "deployment": routed.order[0],
        "error": None,
        "order": list(routed.order),
        "input_tokens": routed.needed.input_tokens,
        "output_tokens": routed.needed.output_tokens,
        "cost": routed.costs[routed.order[0]],
        "costs": dict(routed.costs),
        "routing": explained(decision) if decision is not None else None,
        "stages": stages,
        "shares": shares.get(one.model or "") if stages else None,
    }
