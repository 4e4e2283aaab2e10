"""For the operator: keys, tenants, workers, breakers, metrics, health; and this description itself."""

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
    stream,
    taken,
    whole,
    words,
)
from penstock.limits.breakers import STATES
from penstock.rules.api_keys import SCOPES

_SHORT: Schema = {**TEXT, "maxLength": 64}
_TENANT: Schema = {**TEXT, "pattern": "^[A-Za-z0-9_.-]{1,64}$"}
_TIER = said(_SHORT, "`unlimited`, or a tier of the configuration. Left out, a tenant keeps what it has.")
_SCOPES: Schema = said(
    many(words(*SCOPES), 1), "`read` allows GET, `write` the other methods, `admin` the same on the operator's routes."
)
_RESIDENCY = said(
    {**TEXT, "pattern": "^[A-Za-z0-9_.-]{1,64}$"},
    "The tag of where the data of the key's requests must stay: only models of that `residency` are asked.",
)
_KEY: dict[str, Schema] = {
    "id": TEXT,
    "object": kind("api_key"),
    "tenant": TEXT,
    "tier": TEXT,
    "name": TEXT,
    "hint": TEXT,
    "scopes": _SCOPES,
    "residency": maybe(_RESIDENCY),
    "created_at": TIME,
    "expires_at": maybe(TIME),
    "revoked_at": maybe(TIME),
}

SCHEMAS: dict[str, Schema] = {
    # these are not nullable, unlike the dialects' fields
    "ApiKeyRequest": {
        "type": "object",
        "properties": {
            "tenant": _TENANT,
            "tier": maybe(_TIER),
            "name": _SHORT,
            "scopes": maybe(_SCOPES),
            "residency": maybe(_RESIDENCY),
            "expires_in_days": maybe(whole(1, 3650)),
        },
        "additionalProperties": True,
    },
    "NewApiKey": given({**_KEY, "key": said(TEXT, "Shown here and never again.")}),
    "ApiKey": given(_KEY),
    "Tenant": given(
        {
            "id": TEXT,
            "object": kind("tenant"),
            "tier": TEXT,
            "created_at": TIME,
            "keys": said(COUNT, "How many keys of it are good now."),
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
    "Saving": given(
        {
            "object": kind("saving"),
            "tenant": TEXT,
            "model": TEXT,
            "answers_usd": said(NUMBER, "The cost of answers that came again from a cache of Penstock's."),
            "kept_prompts_usd": said(NUMBER, "What input cost less because its provider had kept it."),
            "keeping_prompts_usd": said(NUMBER, "What input cost more because its provider kept it."),
            "total_usd": NUMBER,
        }
    ),
    "Readiness": given({"status": TEXT, "checks": {"type": "object", "additionalProperties": TEXT}}),
}


def _open(reply: Operation, **more: Operation) -> Operation:
    """An operation that needs no key."""
    return {"security": [], "responses": {"200": reply, **more}, "errors": []}


_KEY_ID = in_path("key_id", "The id of a key, `key_…`.")
_TENANT_ID = in_path("tenant_id", "The name of a tenant.")
_READINESS = {JSON: {"schema": ref("Readiness")}}

OPERATIONS: Operations = {
    ("POST", "/admin/keys"): operation(
        answer(ref("NewApiKey")),
        request=body(ref("ApiKeyRequest"), {"tenant": "team-a", "expires_in_days": 90}),
    ),
    ("GET", "/admin/keys"): operation(
        answer(page(ref("ApiKey"))),
        "400",
        parameters=(query("tenant", _TENANT, "Only keys of this tenant."), limit(100, 1000), after("key")),
    ),
    ("DELETE", "/admin/keys/{key_id}"): operation(
        answer(given({"id": TEXT, "object": kind("api_key"), "revoked": FLAG})), "404", parameters=(_KEY_ID,)
    ),
    ("POST", "/admin/keys/{key_id}/rotate"): operation(
        answer(ref("NewApiKey")),
        "404",
        parameters=(_KEY_ID,),
        request=body(
            taken({}, {"keep_old_key_active_for_24_hours": FLAG}),
            {"keep_old_key_active_for_24_hours": True},
            required=False,
        ),
    ),
    ("POST", "/admin/tenants"): operation(
        answer(ref("Tenant")),
        "409",
        request=body(taken({"id": _TENANT}, {"tier": _TIER}), {"id": "team-a", "tier": "pro"}),
    ),
    ("GET", "/admin/tenants"): operation(
        answer(page(ref("Tenant"))), "400", parameters=(limit(100, 1000), after("tenant"))
    ),
    ("GET", "/admin/tenants/{tenant_id}"): operation(answer(ref("Tenant")), "404", parameters=(_TENANT_ID,)),
    ("POST", "/admin/tenants/{tenant_id}"): operation(
        answer(ref("Tenant")),
        "404",
        parameters=(_TENANT_ID,),
        request=body(taken({"tier": _TIER}, {}), {"tier": "pro"}),
    ),
    ("GET", "/admin/workers"): operation(answer(listing(ref("Worker")))),
    ("GET", "/admin/breakers"): operation(answer(listing(ref("Breaker")))),
    ("GET", "/admin/breakers/events"): operation(
        answer(listing(ref("BreakerEvent"))), "400", parameters=(limit(100, 1000),)
    ),
    ("GET", "/admin/savings"): operation(answer(listing(ref("Saving")))),
    ("GET", "/metrics"): operation(stream("text/plain", "Prometheus' text format.")),
    ("GET", "/healthz"): _open(answer(given({"status": kind("ok")}))),
    ("GET", "/readyz"): _open(
        answer(ref("Readiness")),
        **{"503": {"description": "Something is missing; it is named.", "content": _READINESS}},
    ),
    ("GET", "/openapi.json"): _open(answer(THING, "An OpenAPI document.")),
    ("GET", "/docs"): _open(stream("text/html", "A page without scripts.")),
}
