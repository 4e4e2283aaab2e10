"""For the operator: keys, workers, breakers, metrics, health; and this description itself."""

from api.schema.shapes import (
    COUNT,
    FLAG,
    JSON,
    MOMENT,
    NUMBER,
    TEXT,
    THING,
    TIME,
    Operation,
    Operations,
    Schema,
    answer,
    body,
    given,
    in_path,
    kind,
    limit,
    listing,
    maybe,
    operation,
    ref,
    said,
    stream,
    whole,
    words,
)
from penstock.limits.breakers import STATES

_SHORT: Schema = {**TEXT, "maxLength": 64}
_KEY: dict[str, Schema] = {"id": TEXT, "object": kind("api_key"), "tenant": TEXT, "tier": TEXT}

SCHEMAS: dict[str, Schema] = {
    # these are not nullable, unlike the dialects' fields
    "ApiKeyRequest": {
        "type": "object",
        "properties": {
            "tenant": _SHORT,
            "tier": said(_SHORT, "`unlimited`, or a tier of the configuration."),
            "name": _SHORT,
            "expires_in_days": maybe(whole(1, 3650)),
        },
        "additionalProperties": True,
    },
    "NewApiKey": given({**_KEY, "key": said(TEXT, "Shown here and never again.")}),
    "ApiKey": given(
        {
            **_KEY,
            "name": TEXT,
            "hint": TEXT,
            "created_at": TIME,
            "expires_at": maybe(TIME),
            "revoked_at": maybe(TIME),
        }
    ),
    "Worker": given(
        {
            "id": TEXT,
            "object": kind("worker"),
            "lane": TEXT,
            "host": TEXT,
            "pid": COUNT,
            "started_at": TIME,
            "beat_at": TIME,
        }
    ),
    "Breaker": given(
        {
            "object": kind("breaker"),
            "upstream": TEXT,
            "models": {"type": "array", "items": TEXT},
            "state": words(*STATES),
            "open_for_seconds": maybe(NUMBER),
            "probes_left": maybe(COUNT),
            "transitions": {"type": "object", "additionalProperties": COUNT},
        }
    ),
    "BreakerEvent": given({"object": kind("breaker.event"), "upstream": TEXT, "state": TEXT, "at": MOMENT}),
    "Readiness": given({"status": TEXT, "checks": {"type": "object", "additionalProperties": TEXT}}),
}


def _open(reply: Operation, **more: Operation) -> Operation:
    """An operation that needs no key."""
    return {"security": [], "responses": {"200": reply, **more}, "errors": []}


_READINESS = {JSON: {"schema": ref("Readiness")}}

OPERATIONS: Operations = {
    ("POST", "/admin/keys"): operation(
        answer(ref("NewApiKey")),
        "403",
        request=body(ref("ApiKeyRequest"), {"tenant": "team-a", "expires_in_days": 90}),
    ),
    ("GET", "/admin/keys"): operation(answer(listing(ref("ApiKey"))), "403"),
    ("DELETE", "/admin/keys/{key_id}"): operation(
        answer(given({"id": TEXT, "object": kind("api_key"), "revoked": FLAG})),
        "403",
        "404",
        parameters=(in_path("key_id", "The id of a key, `key_…`."),),
    ),
    ("GET", "/admin/workers"): operation(answer(listing(ref("Worker"))), "403"),
    ("GET", "/admin/breakers"): operation(answer(listing(ref("Breaker"))), "403"),
    ("GET", "/admin/breakers/events"): operation(
        answer(listing(ref("BreakerEvent"))), "400", "403", parameters=(limit(100, 1000),)
    ),
    ("GET", "/metrics"): operation(stream("text/plain", "Prometheus' text format."), "403"),
    ("GET", "/healthz"): _open(answer(given({"status": kind("ok")}))),
    ("GET", "/readyz"): _open(
        answer(ref("Readiness")),
        **{"503": {"description": "Something is missing; it is named.", "content": _READINESS}},
    ),
    ("GET", "/openapi.json"): _open(answer(THING, "An OpenAPI document.")),
    ("GET", "/docs"): _open(stream("text/html", "A page without scripts.")),
}
