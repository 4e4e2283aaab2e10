"""`/admin/keys`: API keys are made, listed, replaced and revoked."""

from typing import Any

from fastapi import APIRouter, Request
from fastapi.responses import Response

from api.admin.tenants import checked_tenant, checked_tier
from api.auth import Keys, authenticate_admin
from api.bodies import json_object, query_integer
from api.openai.files import page_of
from api.replies import json_reply
from api.services import DEFAULT_TENANT, Services
from penstock.configuration import DEFAULT_SCOPES
from penstock.dialects.fields import boolean, residency, wrong_value
from penstock.errors import InvalidRequest, NotFound
from penstock.ids import parse_id, public_id
from penstock.rules.api_keys import SCOPES, hint, new_key, ordered
from penstock.store import api_keys, tenants
from penstock.store.api_keys import ApiKey

router = APIRouter(prefix="/admin/keys", tags=["admin"])

_PREFIX = "key_"
_NAME_CHARACTERS = 64
#: how long a replaced key goes on, if that is asked for
_KEEP_OLD_SECONDS = 24 * 3600.0


@router.post("")
async def create(request: Request) -> Response:
    """A new API key of a tenant, which may be new too; the answer is the only place where the key is shown."""
    await authenticate_admin(request)
    services: Services = request.app.state.services
    keys: Keys = request.app.state.keys
    body = await json_object(request)
    tenant, tier = checked_tenant(body, "tenant", DEFAULT_TENANT), checked_tier(services, body)
    name, scopes, days = _name(body), _scopes(body), _days(body)
    place = _residency(body, services.settings.config.residency_of(tenant))
    key = new_key()
    digest = keys.digest(key)
    if tier is not None:
        await tenants.ensure_tenants(services.database, {tenant: tier})
    else:
        await tenants.insert(services.database, tenant, "unlimited")
    row = await api_keys.insert(
        services.database,
        tenant_id=tenant,
        name=name,
        scopes=ordered(scopes),
        digest=digest,
        hint=hint(key),
        expires_in_days=days,
        residency=place,
    )
    return json_reply({**render(row), "key": key})


@router.get("")
async def list_keys(request: Request) -> Response:
    """Keys without their secrets, newest first; of one tenant with `tenant`."""
    await authenticate_admin(request)
    services: Services = request.app.state.services
    limit = query_integer(request, "limit", 100, low=1, high=1000) or 100
    after, tenant = request.query_params.get("after"), request.query_params.get("tenant")
    if tenant is not None:
        checked_tenant({"tenant": tenant}, "tenant", None)
    try:
        start = parse_id(_PREFIX, after, "key") if after else None
    except NotFound:
        raise wrong_value("after", "it is not the id of a key.") from None
    rows = await api_keys.page(services.database, tenant, start, limit + 1)
    return json_reply(page_of([render(row) for row in rows[:limit]], has_more=len(rows) > limit))


@router.delete("/{key_id}")
async def revoke(request: Request, key_id: str) -> Response:
    """End a key; every API process refuses it within seconds."""
    await authenticate_admin(request)
    services: Services = request.app.state.services
    if not await api_keys.revoke(services.database, parse_id(_PREFIX, key_id, "key")):
        raise _no_key(key_id)
    return json_reply({"id": key_id, "object": "api_key", "revoked": True})


@router.post("/{key_id}/rotate")
async def rotate(request: Request, key_id: str) -> Response:
    """A new key in the place of an old one, which ends at once or, if that is asked for, within a day.

    Tenant, name, scopes and residency stay. A key that was made to live for some time gets that time again.
    """
    await authenticate_admin(request)
    services: Services = request.app.state.services
    keys: Keys = request.app.state.keys
    body = await json_object(request, may_be_empty=True)
    keep = boolean(body, "keep_old_key_active_for_24_hours") or False
    old, key = parse_id(_PREFIX, key_id, "key"), new_key()
    row = await api_keys.rotate(
        services.database, old, keys.digest(key), hint(key), keep_seconds=_KEEP_OLD_SECONDS if keep else 0.0
    )
    if row is None:
        raise _no_key(key_id)
    return json_reply({**render(row), "key": key})


def render(key: ApiKey) -> dict[str, Any]:
    """A key as the operator sees it."""
    return {
        "id": public_id(_PREFIX, key.id),
        "object": "api_key",
        "tenant": key.tenant_id,
        "tier": key.tier,
        "name": key.name,
        "hint": key.hint,
        "scopes": ordered(key.scopes),
        "residency": key.residency,
        "created_at": int(key.created_at.timestamp()),
        "expires_at": int(key.expires_at.timestamp()) if key.expires_at else None,
        "revoked_at": int(key.revoked_at.timestamp()) if key.revoked_at else None,
    }


def _no_key(key_id: str) -> NotFound:
    return NotFound(f"No key found with id '{key_id}', or it has ended.")


def _name(body: dict[str, Any]) -> str:
    name = body.get("name", "")
    if not isinstance(name, str) or len(name) > _NAME_CHARACTERS or "\0" in name:
        raise wrong_value("name", f"it must be a string of at most {_NAME_CHARACTERS} characters, without NUL.")
    return name


def _scopes(body: dict[str, Any]) -> set[str]:
    scopes = body.get("scopes")
    if scopes is None:
        return set(DEFAULT_SCOPES)
    if not isinstance(scopes, list) or not scopes or any(scope not in SCOPES for scope in scopes):
        raise wrong_value("scopes", f"it must be an array of some of {', '.join(SCOPES)}.")
    return set(scopes)


def _residency(body: dict[str, Any], of_tenant: str | None) -> str | None:
    found = residency(body)
    if found is not None and of_tenant not in (None, found):
        raise wrong_value("residency", f"the data of this tenant must stay in {of_tenant}.")
    return found


def _days(body: dict[str, Any]) -> int | None:
    days = body.get("expires_in_days")
    if days is not None and (not isinstance(days, int) or isinstance(days, bool) or not 1 <= days <= 3650):
        message = "'expires_in_days' must be an integer between 1 and 3650."
        raise InvalidRequest(message, param="expires_in_days", code="invalid_value")
    return days
