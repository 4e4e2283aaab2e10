"""`/v1/webhook_callbacks`: what signs the callbacks of a tenant's jobs and batches, and what became of them."""

from typing import Any

from fastapi import APIRouter, Request
from fastapi.responses import Response

from api.auth import authenticate
from api.bodies import query_integer
from api.openai.files import page_of
from api.replies import json_reply
from api.services import Services
from api.webhooks.deliveries import find_delivery
from api.webhooks.deliveries import render as render_delivery
from api.webhooks.endpoints import keeps_old
from penstock.dialects.fields import wrong_value
from penstock.store import webhook_log
from penstock.store.webhook_log import LoggedDelivery
from penstock.webhooks.managed import CallbackSecret

router = APIRouter(prefix="/v1/webhook_callbacks", tags=["webhooks"])

_OBJECT_ID_CHARACTERS = 64


@router.get("")
async def retrieve(request: Request) -> Response:
    """The secret that signs every callback of this tenant; for keys with the scope `write`."""
    principal = await authenticate(request)
    principal.require("write")  # it signs: reading is not all that can be done with it
    services: Services = request.app.state.services
    return json_reply(_render(await services.webhooks.callback_secret(principal.tenant_id)))


@router.post("/rotate_secret")
async def rotate_secret(request: Request) -> Response:
    """A new secret; the old one signs on for a day only when that is asked for."""
    principal = await authenticate(request)
    services: Services = request.app.state.services
    keep_old = await keeps_old(request)
    return json_reply(_render(await services.webhooks.rotate_callback_secret(principal.tenant_id, keep_old=keep_old)))


@router.get("/deliveries")
async def list_deliveries(request: Request) -> Response:
    """Callbacks, newest first; of one object with `object_id`."""
    principal = await authenticate(request)
    services: Services = request.app.state.services
    limit = query_integer(request, "limit", 20, low=1, high=100) or 20
    object_id = request.query_params.get("object_id")
    if object_id is not None and (len(object_id) > _OBJECT_ID_CHARACTERS or not object_id.isprintable()):
        raise wrong_value("object_id", "it is not the id of a job, a response or a batch.")
    after = request.query_params.get("after")
    start = await find_delivery(services, principal.tenant_id, after, None) if after else None
    rows = await webhook_log.of_callbacks(services.database, principal.tenant_id, object_id, start, limit + 1)
    return json_reply(page_of([_render_callback(row) for row in rows[:limit]], has_more=len(rows) > limit))


@router.post("/deliveries/{event_id}/redeliver")
async def redeliver(request: Request, event_id: str) -> Response:
    """Call back again, whatever became of it."""
    principal = await authenticate(request)
    services: Services = request.app.state.services
    delivery = await find_delivery(services, principal.tenant_id, event_id, None)
    await webhook_log.redeliver(services.database, delivery.event_id, delivery.endpoint)
    return json_reply(_render_callback(await find_delivery(services, principal.tenant_id, event_id, None)))


def _render(secret: CallbackSecret) -> dict[str, Any]:
    until = secret.previous_until
    return {
        "object": "webhook_callbacks",
        "signing_secret": secret.secret,
        "signing_secret_hint": secret.hint,
        "previous_secret_until": int(until.timestamp()) if until else None,
    }


def _render_callback(delivery: LoggedDelivery) -> dict[str, Any]:
    return {**render_delivery(delivery), "url": delivery.callback_url}
