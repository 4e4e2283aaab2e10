"""`/admin/cache/invalidate`: cached answers of one tenant, or of all, that are served no more."""

from fastapi import APIRouter, Request
from fastapi.responses import Response

from api.admin.tenants import checked_tenant
from api.auth import authenticate_admin
from api.bodies import json_object
from api.jobs.cache import invalidated
from api.replies import json_reply
from api.services import Services

router = APIRouter(prefix="/admin/cache", tags=["admin"])


@router.post("/invalidate")
async def invalidate(request: Request) -> Response:
    """As `/v1/cache/invalidate`, for the tenant that is named, or else for all."""
    await authenticate_admin(request)
    services: Services = request.app.state.services
    body = await json_object(request)
    tenant_id = "" if body.get("tenant") is None else checked_tenant(body, "tenant", None)
    return json_reply(await invalidated(services, tenant_id, body))
