"""Webhook endpoints, their deliveries, and callbacks."""

from api.schema.shapes import (
    COUNT,
    FILLED,
    FLAG,
    INTEGER,
    TEXT,
    TIME,
    URL,
    Operations,
    Schema,
    after,
    answer,
    body,
    given,
    in_path,
    kind,
    limit,
    listing,
    many,
    maybe,
    operation,
    page,
    query,
    ref,
    said,
    taken,
    words,
)
from penstock.webhooks import ALL_EVENT_TYPES

_EVENT_TYPE = words(*sorted(ALL_EVENT_TYPES))
_NAME: Schema = {**FILLED, "maxLength": 256}
_TYPES = many(_EVENT_TYPE, 1)
_DESCRIPTION: Schema = {**TEXT, "maxLength": 1024}
_SECRET = said(TEXT, "Shown here and never again.")
_ENDPOINT: dict[str, Schema] = {
    "id": TEXT,
    "object": kind("webhook_endpoint"),
    "created_at": TIME,
    "updated_at": TIME,
    "name": TEXT,
    "url": TEXT,
    "event_types": many(TEXT),
    "signing_secret_hint": TEXT,
    "description": maybe(TEXT),
    "enabled": FLAG,
    "disabled_reason": maybe(TEXT),
    "failing_since": maybe(TIME),
}
_DELIVERY: dict[str, Schema] = {
    "id": TEXT,
    "object": kind("webhook_delivery"),
    "event_type": TEXT,
    "object_id": TEXT,
    "test": FLAG,
    "status": words("pending", "delivered", "failed"),
    "attempts": COUNT,
    "last_status_code": maybe(INTEGER),
    "last_error": maybe(TEXT),
    "created_at": TIME,
    "next_attempt_at": maybe(TIME),
    "ended_at": maybe(TIME),
}
_OLD_SECRET = "keep_old_secret_active_for_24_hours"  # noqa: S105  the name of a field

SCHEMAS: dict[str, Schema] = {
    "WebhookEndpointRequest": taken({"name": _NAME, "url": URL, "event_types": _TYPES}, {"description": _DESCRIPTION}),
    "WebhookEndpointChange": taken(
        {},
        {"name": _NAME, "url": URL, "event_types": _TYPES, "description": _DESCRIPTION, "enabled": FLAG},
    ),
    "WebhookEndpoint": given(_ENDPOINT),
    "WebhookEndpointWithSecret": given({**_ENDPOINT, "signing_secret": _SECRET}),
    "WebhookDelivery": given(_DELIVERY),
    "CallbackDelivery": given({**_DELIVERY, "url": maybe(TEXT)}),
    "WebhookCallbacks": given(
        {
            "object": kind("webhook_callbacks"),
            "signing_secret": TEXT,
            "signing_secret_hint": TEXT,
            "previous_secret_until": maybe(TIME),
        }
    ),
    "SecretRotation": taken({}, {_OLD_SECRET: FLAG}),
}

_ID = in_path("endpoint_id", "The id of a webhook endpoint.")
_EVENT = in_path("event_id", "The id of a delivery.")
_ROTATION = body(ref("SecretRotation"), {_OLD_SECRET: True}, required=False)
_ONE = "/v1/webhook_endpoints/{endpoint_id}"
_EXAMPLE = {"name": "mine", "url": "https://example.com/hook", "event_types": ["batch.completed"]}

OPERATIONS: Operations = {
    ("GET", "/v1/webhook_event_types"): operation(answer(listing(TEXT))),
    ("POST", "/v1/webhook_endpoints"): operation(
        answer(ref("WebhookEndpointWithSecret")), request=body(ref("WebhookEndpointRequest"), _EXAMPLE)
    ),
    ("GET", "/v1/webhook_endpoints"): operation(
        answer(page(ref("WebhookEndpoint"))), "400", "404", parameters=(limit(20, 100), after("endpoint"))
    ),
    ("GET", _ONE): operation(answer(ref("WebhookEndpoint")), "404", parameters=(_ID,)),
    ("POST", _ONE): operation(
        answer(ref("WebhookEndpoint")),
        "404",
        parameters=(_ID,),
        request=body(ref("WebhookEndpointChange"), {"enabled": False}),
    ),
    ("DELETE", _ONE): operation(
        answer(given({"id": TEXT, "object": kind("webhook_endpoint.deleted"), "deleted": FLAG})),
        "404",
        parameters=(_ID,),
    ),
    ("POST", f"{_ONE}/rotate_secret"): operation(
        answer(ref("WebhookEndpointWithSecret")), "404", parameters=(_ID,), request=_ROTATION
    ),
    ("GET", f"{_ONE}/deliveries"): operation(
        answer(page(ref("WebhookDelivery"))),
        "400",
        "404",
        parameters=(_ID, limit(20, 100), after("delivery")),
    ),
    ("POST", f"{_ONE}/deliveries/{{event_id}}/redeliver"): operation(
        answer(ref("WebhookDelivery")), "400", "404", parameters=(_ID, _EVENT)
    ),
    ("POST", f"{_ONE}/test"): operation(
        answer(
            given(
                {
                    "object": kind("webhook_endpoint.test"),
                    "webhook_endpoint_id": TEXT,
                    "event_type": TEXT,
                    "status_code": INTEGER,
                    "success": FLAG,
                    "event_id": TEXT,
                }
            )
        ),
        "404",
        parameters=(_ID,),
        request=body(taken({"event_type": _EVENT_TYPE}, {}), {"event_type": "batch.completed"}),
    ),
    ("GET", "/v1/webhook_callbacks"): operation(answer(ref("WebhookCallbacks"))),
    ("POST", "/v1/webhook_callbacks/rotate_secret"): operation(answer(ref("WebhookCallbacks")), request=_ROTATION),
    ("GET", "/v1/webhook_callbacks/deliveries"): operation(
        answer(page(ref("CallbackDelivery"))),
        "400",
        "404",
        parameters=(
            limit(20, 100),
            query("object_id", {**TEXT, "maxLength": 64}, "Only callbacks of this job, response or batch."),
            after("delivery"),
        ),
    ),
    ("POST", "/v1/webhook_callbacks/deliveries/{event_id}/redeliver"): operation(
        answer(ref("CallbackDelivery")), "404", parameters=(_EVENT,)
    ),
}
