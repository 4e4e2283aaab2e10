"""`/admin`: for the operator, with the admin key."""

from datetime import UTC, datetime, timedelta
from typing import Any

from fastapi import APIRouter, Request
from fastapi.responses import Response

from api.auth import authenticate_admin
from api.bodies import json_object
from api.replies import json_reply
from api.services import DEFAULT_TENANT, Services
from penstock.errors import InvalidRequest, NotFound
from penstock.ids import parse_id, public_id
from penstock.store import tenants, workers
from penstock.store.tenants import ApiKey

router = APIRouter(prefix="/admin", tags=["admin"])


@router.post("/keys")
async def create_key(request: Request) -> Response:
    """A new API key of a tenant; the answer is the only place where it is ever shown."""
    await authenticate_admin(request)
    services: Services = request.app.state.services
    body = await json_object(request)
    tenant, tier, name = (
        _text(body, "tenant", DEFAULT_TENANT),
        _text(body, "tier", "unlimited"),
        _text(body, "name", ""),
    )
    if tier != "unlimited" and tier not in services.settings.config.tiers:
        raise InvalidRequest(f"There is no tier '{tier}'.", param="tier", code="invalid_value")
    days = body.get("expires_in_days")
    if days is not None and (not isinstance(days, int) or not 1 <= days <= 3650):
        message = "'expires_in_days' must be an integer between 1 and 3650."
        raise InvalidRequest(message, param="expires_in_days", code="invalid_value")
    expires_at = datetime.now(UTC) + timedelta(days=days) if days else None
    key_id, key = await tenants.create_key(services.database, tenant, tier, name, expires_at)
    return json_reply(
        {"id": public_id("key_", key_id), "object": "api_key", "tenant": tenant, "tier": tier, "key": key}
    )


@router.get("/keys")
async def list_keys(request: Request) -> Response:
    """Every key, without its secret."""
    await authenticate_admin(request)
    services: Services = request.app.state.services
    return json_reply({"object": "list", "data": [_render(key) for key in await tenants.list_keys(services.database)]})


@router.delete("/keys/{key_id}")
async def revoke_key(request: Request, key_id: str) -> Response:
    """End a key; it is refused within seconds."""
    await authenticate_admin(request)
    services: Services = request.app.state.services
    if not await tenants.revoke_key(services.database, parse_id("key_", key_id, "key")):
        raise NotFound(f"No key found with id '{key_id}'.")
    return json_reply({"id": key_id, "object": "api_key", "revoked": True})


@router.get("/workers")
async def list_workers(request: Request) -> Response:
    """Worker processes that have not stopped, with their last heartbeat."""
    await authenticate_admin(request)
    services: Services = request.app.state.services
    rows = await workers.living(services.database)
    data = [
        {
            "id": public_id("worker_", row.id),
            "object": "worker",
            "lane": row.lane,
            "host": row.host,
            "pid": row.pid,
            "started_at": int(row.started_at.timestamp()),
            "beat_at": int(row.beat_at.timestamp()),
        }
        for row in rows
    ]
    return json_reply({"object": "list", "data": data})


def _render(key: ApiKey) -> dict[str, Any]:
    return {
        "id": public_id("key_", key.id),
        "object": "api_key",
        "tenant": key.tenant_id,
        "tier": key.tier,
        "name": key.name,
        "hint": key.hint,
        "created_at": int(key.created_at.timestamp()),
        "expires_at": int(key.expires_at.timestamp()) if key.expires_at else None,
        "revoked_at": int(key.revoked_at.timestamp()) if key.revoked_at else None,
    }


def _text(body: dict[str, Any], name: str, default: str) -> str:
    value = body.get(name, default)
    if not isinstance(value, str) or len(value) > 64 or "\0" in value:
        raise InvalidRequest(f"'{name}' must be a string of at most 64 characters.", param=name, code="invalid_value")
    return value
