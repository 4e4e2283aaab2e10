"""`/v1/webhook_endpoints` (contract §10.3): a tenant's own receivers."""

from typing import Any

from fastapi import APIRouter, Request
from fastapi.responses import Response

from api.auth import authenticate
from api.bodies import json_object, query_integer
from api.openai.files import page_of
from api.replies import json_reply
from api.services import Services
from penstock.dialects.fields import array, boolean, missing, required_string, string, wrong_type, wrong_value
from penstock.ids import parse_id
from penstock.store import webhook_endpoints
from penstock.store.webhook_endpoints import PREFIX, WebhookEndpoint
from penstock.webhooks import ALL_EVENT_TYPES

router = APIRouter(prefix="/v1", tags=["webhooks"])

_NAME_CHARACTERS = 256
_DESCRIPTION_CHARACTERS = 1024


@router.get("/webhook_event_types")
async def list_event_types(request: Request) -> Response:
    """Every type an endpoint can have."""
    await authenticate(request)
    return json_reply({"object": "list", "data": sorted(ALL_EVENT_TYPES)})


@router.post("/webhook_endpoints")
async def create(request: Request) -> Response:
    """A new endpoint; its secret is in this answer and in no other."""
    principal = await authenticate(request)
    services: Services = request.app.state.services
    body = await json_object(request)
    name, url = _text(body, "name", _NAME_CHARACTERS), required_string(body, "url")
    if name is None:
        raise missing("name")
    event_types = _event_types(body)
    if event_types is None:
        raise missing("event_types")
    endpoint, secret = await services.webhooks.create(
        principal.tenant_id,
        name=name,
        description=_text(body, "description", _DESCRIPTION_CHARACTERS, empty=True),
        url=url,
        event_types=event_types,
    )
    return json_reply({**render(services, endpoint), "signing_secret": secret})


@router.get("/webhook_endpoints")
async def list_endpoints(request: Request) -> Response:
    """A tenant's endpoints, newest first."""
    principal = await authenticate(request)
    services: Services = request.app.state.services
    limit = query_integer(request, "limit", 20, low=1, high=100) or 20
    after = request.query_params.get("after")
    start = await find(services, principal.tenant_id, after) if after else None
    rows = await webhook_endpoints.page(services.database, principal.tenant_id, start, limit + 1)
    return json_reply(page_of([render(services, row) for row in rows[:limit]], has_more=len(rows) > limit))


@router.get("/webhook_endpoints/{endpoint_id}")
async def retrieve(request: Request, endpoint_id: str) -> Response:
    """One endpoint, without its secret."""
    principal = await authenticate(request)
    services: Services = request.app.state.services
    return json_reply(render(services, await find(services, principal.tenant_id, endpoint_id)))


@router.post("/webhook_endpoints/{endpoint_id}")
async def update(request: Request, endpoint_id: str) -> Response:
    """Change what is given: name, description, url, event_types, enabled."""
    principal = await authenticate(request)
    services: Services = request.app.state.services
    endpoint = await find(services, principal.tenant_id, endpoint_id)
    body = await json_object(request)
    changed = await services.webhooks.update(
        endpoint,
        name=_text(body, "name", _NAME_CHARACTERS),
        description=_text(body, "description", _DESCRIPTION_CHARACTERS, empty=True),
        url=string(body, "url"),
        event_types=_event_types(body),
        enabled=boolean(body, "enabled"),
    )
    return json_reply(render(services, changed))


@router.delete("/webhook_endpoints/{endpoint_id}")
async def delete(request: Request, endpoint_id: str) -> Response:
    """Remove an endpoint; it gets nothing more."""
    principal = await authenticate(request)
    services: Services = request.app.state.services
    uuid = parse_id(PREFIX, endpoint_id, "webhook endpoint")
    await services.webhooks.delete(principal.tenant_id, endpoint_id, uuid)
    return json_reply({"id": endpoint_id, "object": "webhook_endpoint.deleted", "deleted": True})


@router.post("/webhook_endpoints/{endpoint_id}/rotate_secret")
async def rotate_secret(request: Request, endpoint_id: str) -> Response:
    """A new secret; the old one signs on for a day only when that is asked for."""
    principal = await authenticate(request)
    services: Services = request.app.state.services
    endpoint = await find(services, principal.tenant_id, endpoint_id)
    keep_old = await keeps_old(request)
    rotated, secret = await services.webhooks.rotate(endpoint, keep_old=keep_old)
    return json_reply({**render(services, rotated), "signing_secret": secret})


async def keeps_old(request: Request) -> bool:
    """Whether the body of a rotation, which may be empty, wants the old secret kept for a day.

    Raises:
        InvalidRequest: it is neither empty nor a JSON object, or the field is no boolean.
    """
    body = await json_object(request, may_be_empty=True)
    return boolean(body, "keep_old_secret_active_for_24_hours") or False


async def find(services: Services, tenant_id: str, endpoint_id: str) -> WebhookEndpoint:
    """An endpoint by its public id.

    Raises:
        NotFound: this tenant has none.
    """
    return await services.webhooks.find(tenant_id, endpoint_id, parse_id(PREFIX, endpoint_id, "webhook endpoint"))


def render(services: Services, endpoint: WebhookEndpoint) -> dict[str, Any]:
    """The endpoint object of the vendor, and how it fares."""
    failing = endpoint.failing_since
    return {
        "id": endpoint.public_id,
        "object": "webhook_endpoint",
        "created_at": int(endpoint.created_at.timestamp()),
        "updated_at": int(endpoint.updated_at.timestamp()),
        "name": endpoint.name,
        "url": endpoint.url,
        "event_types": endpoint.event_types,
        "signing_secret_hint": services.webhooks.hint(endpoint),
        # not the vendor's
        "description": endpoint.description,
        "enabled": endpoint.enabled,
        "disabled_reason": endpoint.disabled_reason,
        "failing_since": int(failing.timestamp()) if failing else None,
    }


def _text(body: dict[str, Any], name: str, characters: int, *, empty: bool = False) -> str | None:
    value = string(body, name)
    if value is None:
        return None
    if not value and not empty:
        raise wrong_value(name, "it is empty.")
    if len(value) > characters or "\0" in value:
        raise wrong_value(name, f"it may have {characters} characters, and no NUL among them.")
    return value


def _event_types(body: dict[str, Any]) -> list[str] | None:
    values = array(body, "event_types")
    if values is None:
        return None
    if not values:
        raise wrong_value("event_types", "it is empty.")
    for place, value in enumerate(values):
        if not isinstance(value, str):
            raise wrong_type(f"event_types[{place}]", "a string")
    return values
