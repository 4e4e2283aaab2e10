"""`/v1/webhook_endpoints/{id}/deliveries` and `…/test`: what an endpoint was sent, and sending it again or a sample."""

import asyncio
from typing import Any

from fastapi import APIRouter, Request
from fastapi.responses import Response

from api.auth import authenticate
from api.bodies import json_object, query_integer
from api.openai.files import page_of
from api.replies import json_reply
from api.services import Services
from api.webhooks.endpoints import find
from penstock.dialects.fields import required_string, wrong_value
from penstock.errors import InvalidRequest, NotFound, Unavailable
from penstock.ids import new_id, parse_id, public_id
from penstock.store import webhook_log
from penstock.store.webhook_log import LoggedDelivery
from penstock.webhooks import ALL_EVENT_TYPES
from penstock.webhooks.signature import EVENT_PREFIX, webhook_id

router = APIRouter(prefix="/v1/webhook_endpoints", tags=["webhooks"])

#: seconds a test waits beyond what its receiver may take: until a dispatcher has it, and for the recording
_TEST_MARGIN = 10.0
_TEST_LOOK_SECONDS = 0.1
_OBJECTS = {"batch": "batch_", "response": "resp_", "job": "job_"}


@router.get("/{endpoint_id}/deliveries")
async def list_deliveries(request: Request, endpoint_id: str) -> Response:
    """The deliveries to an endpoint, newest first."""
    principal = await authenticate(request)
    services: Services = request.app.state.services
    endpoint = await find(services, principal.tenant_id, endpoint_id)
    limit = query_integer(request, "limit", 20, low=1, high=100) or 20
    after = request.query_params.get("after")
    start = await find_delivery(services, principal.tenant_id, after, endpoint.public_id) if after else None
    rows = await webhook_log.of_endpoint(services.database, endpoint.public_id, start, limit + 1)
    return json_reply(page_of([render(row) for row in rows[:limit]], has_more=len(rows) > limit))


@router.post("/{endpoint_id}/deliveries/{event_id}/redeliver")
async def redeliver(request: Request, endpoint_id: str, event_id: str) -> Response:
    """Send an event again, whatever became of it: the same id and body, with a schedule of its own."""
    principal = await authenticate(request)
    services: Services = request.app.state.services
    endpoint = await find(services, principal.tenant_id, endpoint_id)
    delivery = await find_delivery(services, principal.tenant_id, event_id, endpoint.public_id)
    if not endpoint.enabled:
        raise InvalidRequest(f"The endpoint is disabled: {endpoint.disabled_reason}. Enable it first.")
    await webhook_log.redeliver(services.database, delivery.event_id, delivery.endpoint)
    return json_reply(render(await find_delivery(services, principal.tenant_id, event_id, endpoint.public_id)))


@router.post("/{endpoint_id}/test")
async def test(request: Request, endpoint_id: str) -> Response:
    """Send a sample event, once, and tell what the receiver answered. Its object does not exist."""
    principal = await authenticate(request)
    services: Services = request.app.state.services
    endpoint = await find(services, principal.tenant_id, endpoint_id)
    event_type = required_string(await json_object(request), "event_type")
    if event_type not in ALL_EVENT_TYPES:
        raise wrong_value("event_type", f"use one of {', '.join(sorted(ALL_EVENT_TYPES))}.")
    if event_type not in endpoint.event_types:
        raise wrong_value("event_type", f"this endpoint gets only {', '.join(endpoint.event_types)}.")
    if not endpoint.enabled:
        raise InvalidRequest(f"The endpoint is disabled: {endpoint.disabled_reason}. Enable it first.")
    sample = public_id(_OBJECTS[event_type.partition(".")[0]], new_id())
    event = await webhook_log.insert_test(
        services.database, principal.tenant_id, endpoint.public_id, event_type, sample
    )
    delivery = await _wait(services, principal.tenant_id, webhook_id(event), endpoint.public_id)
    if delivery.last_status is None:
        raise InvalidRequest(f"The test was not answered: {delivery.last_error}.", code="webhook_test_failed")
    return json_reply(
        {
            "object": "webhook_endpoint.test",
            "webhook_endpoint_id": endpoint.public_id,
            "event_type": event_type,
            "status_code": delivery.last_status,
            "success": True,
            "event_id": webhook_id(event),
        }
    )


async def _wait(services: Services, tenant_id: str, event_id: str, endpoint: str) -> LoggedDelivery:
    loop = asyncio.get_running_loop()
    deadline = loop.time() + services.settings.config.webhooks.timeout + _TEST_MARGIN
    while loop.time() < deadline:
        await asyncio.sleep(_TEST_LOOK_SECONDS)
        delivery = await find_delivery(services, tenant_id, event_id, endpoint)
        if delivery.delivered_at is not None or delivery.gave_up_at is not None:
            return delivery
    raise Unavailable("No dispatcher took the test in time; it will be sent, and its result is in the deliveries.")


async def find_delivery(services: Services, tenant_id: str, event_id: str, endpoint: str | None) -> LoggedDelivery:
    """A delivery by the public id of its event: to this endpoint, or (None) to the event's callback address.

    Raises:
        NotFound: this tenant has none.
    """
    uuid = parse_id(EVENT_PREFIX, event_id, "delivery")
    delivery = await webhook_log.find(services.database, tenant_id, uuid, endpoint)
    if delivery is None:
        raise NotFound(f"No delivery found with id '{event_id}'.")
    return delivery


def render(delivery: LoggedDelivery) -> dict[str, Any]:
    """A delivery: `pending` (also between two attempts), `delivered` or `failed`."""
    ended = delivery.delivered_at or delivery.gave_up_at
    status = "delivered" if delivery.delivered_at else "failed" if delivery.gave_up_at else "pending"
    return {
        "id": webhook_id(delivery.event_id),
        "object": "webhook_delivery",
        "event_type": delivery.type,
        "object_id": delivery.object_id,
        "test": delivery.test,
        "status": status,
        "attempts": delivery.attempts,
        "last_status_code": delivery.last_status,
        "last_error": delivery.last_error,
        "created_at": int(delivery.created_at.timestamp()),
        "next_attempt_at": None if ended else int(delivery.next_at.timestamp()),
        "ended_at": int(ended.timestamp()) if ended else None,
    }
