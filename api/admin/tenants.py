"""`/admin/tenants`: who has work and keys here, and in which tier."""

import re
from typing import Any

from fastapi import APIRouter, Request
from fastapi.responses import Response

from api.auth import authenticate_admin
from api.bodies import json_object, query_integer
from api.openai.files import page_of
from api.replies import json_reply
from api.services import Services
from penstock.dialects.fields import missing, wrong_value
from penstock.errors import Conflict, NotFound
from penstock.store import tenants
from penstock.store.tenants import Tenant

router = APIRouter(prefix="/admin/tenants", tags=["admin"])

#: as in the configuration's `keys`: a name is part of keys in Redis and of labels of metrics
_NAME = re.compile(r"[A-Za-z0-9_.-]{1,64}")


@router.post("")
async def create(request: Request) -> Response:
    """A new tenant. One is also made by its first key."""
    await authenticate_admin(request)
    services: Services = request.app.state.services
    body = await json_object(request)
    tenant_id, tier = checked_tenant(body, "id", None), checked_tier(services, body) or "unlimited"
    if not await tenants.insert(services.database, tenant_id, tier):
        raise Conflict(f"There is a tenant '{tenant_id}' already.")
    return json_reply(render(await _find(services, tenant_id)))


@router.get("")
async def list_tenants(request: Request) -> Response:
    """Tenants by name."""
    await authenticate_admin(request)
    services: Services = request.app.state.services
    limit = query_integer(request, "limit", 100, low=1, high=1000) or 100
    after = request.query_params.get("after")
    if after is not None:
        checked_tenant({"after": after}, "after", None)
    rows = await tenants.page(services.database, after, limit + 1)
    return json_reply(page_of([render(row) for row in rows[:limit]], has_more=len(rows) > limit))


@router.get("/{tenant_id}")
async def retrieve(request: Request, tenant_id: str) -> Response:
    """One tenant."""
    await authenticate_admin(request)
    return json_reply(render(await _find(request.app.state.services, tenant_id)))


@router.post("/{tenant_id}")
async def update(request: Request, tenant_id: str) -> Response:
    """Move a tenant to another tier; its keys know within seconds."""
    await authenticate_admin(request)
    services: Services = request.app.state.services
    body = await json_object(request)
    tier = checked_tier(services, body)
    if tier is None:
        raise missing("tier")
    await _find(services, tenant_id)
    await tenants.ensure_tenants(services.database, {tenant_id: tier})
    return json_reply(render(await _find(services, tenant_id)))


def render(tenant: Tenant) -> dict[str, Any]:
    """A tenant as the operator sees it."""
    return {
        "id": tenant.id,
        "object": "tenant",
        "tier": tenant.tier,
        "created_at": int(tenant.created_at.timestamp()),
        "keys": tenant.keys,
    }


def checked_tenant(body: dict[str, Any], name: str, default: str | None) -> str:
    """The name of a tenant in a field of a body.

    Raises:
        InvalidRequest: it is missing and there is no default, or it is no such name.
    """
    value = body.get(name, default)
    if value is None:
        raise missing(name)
    if not isinstance(value, str) or not _NAME.fullmatch(value):
        raise wrong_value(name, "a tenant's name is 1 to 64 letters, digits, '-', '_' or '.'.")
    return value


def checked_tier(services: Services, body: dict[str, Any]) -> str | None:
    """The tier in a body, None where there is none.

    Raises:
        InvalidRequest: it is not a configured one.
    """
    tier = body.get("tier")
    if tier is not None and (not isinstance(tier, str) or tier not in services.settings.config.tiers):
        raise wrong_value("tier", "there is no such tier.")
    return tier


async def _find(services: Services, tenant_id: str) -> Tenant:
    tenant = await tenants.get(services.database, tenant_id) if _NAME.fullmatch(tenant_id) else None
    if tenant is None:
        raise NotFound(f"No tenant found with id '{tenant_id}'.")
    return tenant
