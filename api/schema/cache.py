"""What is served from the caches no more."""

from api.jobs.cache import LONGEST_SECONDS, MODEL_CHARACTERS
from api.schema.shapes import (
    COUNT,
    FLAG,
    NUMBER,
    TEXT,
    Operations,
    Schema,
    answer,
    between,
    body,
    given,
    kind,
    maybe,
    operation,
    ref,
    said,
    taken,
)

_TAG: Schema = {**TEXT, "pattern": "^[A-Za-z0-9_.:/-]{1,64}$"}
_TENANT: Schema = {**TEXT, "pattern": "^[A-Za-z0-9_.-]{1,64}$"}
_WHAT: dict[str, Schema] = {
    "tag": said(_TAG, "Only answers with this tag."),
    "model": said({**TEXT, "minLength": 1, "maxLength": MODEL_CHARACTERS}, "Only of this model or route."),
    "older_than_seconds": said(between(0, LONGEST_SECONDS), "Only answers at least so old."),
    "all": said(FLAG, "True where nothing else is named: everything is meant."),
}

SCHEMAS: dict[str, Schema] = {
    "CacheInvalidation": given(
        {
            "object": kind("cache.invalidation"),
            "tenant": maybe(TEXT),
            "model": maybe(TEXT),
            "tag": maybe(TEXT),
            "before": said(NUMBER, "Answers made up to then, in seconds since 1970, are served no more."),
            "semantic_removed": said(COUNT, "Answers removed from the semantic cache."),
        }
    ),
}

OPERATIONS: Operations = {
    ("POST", "/v1/cache/invalidate"): operation(
        answer(ref("CacheInvalidation")), request=body(taken({}, _WHAT), {"tag": "price-list"})
    ),
    ("POST", "/admin/cache/invalidate"): operation(
        answer(ref("CacheInvalidation")),
        request=body(taken({}, {"tenant": said(_TENANT, "Left out: every tenant."), **_WHAT}), {"model": "answers"}),
    ),
}
