"""The few words in which operations are described: JSON Schemas, parameters, bodies, answers."""

from collections.abc import Mapping
from typing import Any

from api.urgency import HEADER, HIGHEST, LOWEST
from penstock.cache.policy import MOST_TAGS

Schema = dict[str, Any]
#: what stands in the document for one method of one path, without what the route itself says (its summary, its tag)
Operation = dict[str, Any]
#: by method and path
Operations = Mapping[tuple[str, str], Operation]

ANY: Schema = {}
TEXT: Schema = {"type": "string"}
FILLED: Schema = {"type": "string", "minLength": 1}
FLAG: Schema = {"type": "boolean"}
COUNT: Schema = {"type": "integer", "minimum": 0}
POSITIVE: Schema = {"type": "integer", "minimum": 1}
INTEGER: Schema = {"type": "integer"}
NUMBER: Schema = {"type": "number"}
#: seconds since 1970
TIME: Schema = {"type": "integer", "description": "Seconds since 1970, UTC."}
MOMENT: Schema = {"type": "string", "format": "date-time"}
THING: Schema = {"type": "object", "additionalProperties": True}
URL: Schema = {"type": "string", "description": "An http or https URL."}

JSON = "application/json"
EVENTS = "text/event-stream"


def maybe(schema: Schema) -> Schema:
    """The schema, or null."""
    return {"anyOf": [schema, {"type": "null"}]} if schema else schema


def either(*schemas: Schema) -> Schema:
    """Any of the schemas."""
    return {"anyOf": list(schemas)}


def words(*allowed: str) -> Schema:
    """A string out of a few."""
    return {"type": "string", "enum": list(allowed)}


def between(low: float, high: float) -> Schema:
    """A number from `low` to `high`."""
    return {"type": "number", "minimum": low, "maximum": high}


def whole(low: int, high: int) -> Schema:
    """An integer from `low` to `high`."""
    return {"type": "integer", "minimum": low, "maximum": high}


def texts(low: int = 0, high: int | None = None) -> Schema:
    """An array of strings."""
    return many(TEXT, low, high)


def many(item: Schema, low: int = 0, high: int | None = None) -> Schema:
    """An array of `low` to `high` of something."""
    schema: Schema = {"type": "array", "items": item}
    if low:
        schema["minItems"] = low
    return schema if high is None else {**schema, "maxItems": high}


def said(schema: Schema, description: str) -> Schema:
    """The schema, with a sentence about it."""
    return {**schema, "description": description}


def ref(name: str) -> Schema:
    """A schema of the document, by its name."""
    return {"$ref": f"#/components/schemas/{name}"}


def taken(required: Mapping[str, Schema], optional: Mapping[str, Schema]) -> Schema:
    """An object of a request: a null counts as left out, what is not known is let through."""
    return {
        "type": "object",
        "required": list(required),
        "properties": {**required, **{name: maybe(schema) for name, schema in optional.items()}},
        "additionalProperties": True,
    }


def given(always: Mapping[str, Schema], sometimes: Mapping[str, Schema] | None = None) -> Schema:
    """An object of an answer: everything in `always` is there, if only as null."""
    return {"type": "object", "required": list(always), "properties": {**always, **(sometimes or {})}}


def kind(name: str) -> Schema:
    """A string that is always the same."""
    return {"type": "string", "const": name}


def page(item: Schema) -> Schema:
    """One page of a cursor list of OpenAI's kind."""
    ends = {"first_id": maybe(TEXT), "last_id": maybe(TEXT)}
    return given({"object": kind("list"), "data": many(item), "has_more": FLAG, **ends})


def listing(item: Schema) -> Schema:
    """A whole list."""
    return given({"object": kind("list"), "data": many(item)})


def query(name: str, schema: Schema, description: str) -> Schema:
    """A parameter of the query string."""
    return {"name": name, "in": "query", "required": False, "schema": schema, "description": description}


def header(name: str, schema: Schema, description: str) -> Schema:
    """A header of a request."""
    return {"name": name, "in": "header", "required": False, "schema": schema, "description": description}


def in_path(name: str, description: str) -> Schema:
    """A piece of the path."""
    return {"name": name, "in": "path", "required": True, "schema": FILLED, "description": description}


def limit(default: int, most: int) -> Schema:
    """The length of a page."""
    return query("limit", {**whole(1, most), "default": default}, "How many at most.")


def after(noun: str) -> Schema:
    """The cursor of a page."""
    return query("after", TEXT, f"The id of the {noun} after which the page begins.")


IDEMPOTENCY_KEY = header(
    "Idempotency-Key",
    {"type": "string", "maxLength": 255, "pattern": "^[ -~]*$"},
    "The same key with the same body makes nothing new: the answer is the object made first. Printable ASCII.",
)


WINDOW: Schema = {"type": "string", "pattern": "^([1-9][0-9]?|[12][0-9]{2}|3[0-2][0-9]|33[0-6])h$"}
PRIORITY = said(whole(LOWEST, HIGHEST), "Its place among the tenant's own work: the lowest goes first. Default 0.")
PRIORITY_HEADER = header(HEADER, whole(LOWEST, HIGHEST), "The lowest of a tenant's own work goes first. Default 0.")


_CACHE_WORD = "on|read|write|refresh|off|no-store|no-cache|max-age=[0-9]{1,9}"
_CACHE_WISH: Schema = {"type": "string", "pattern": f"^({_CACHE_WORD})(, ?({_CACHE_WORD}))*$"}
_CACHE_TAG = "[A-Za-z0-9_.:/-]{1,64}"
_CACHE_TAGS: Schema = {"type": "string", "pattern": f"^{_CACHE_TAG}(, ?{_CACHE_TAG}){{0,{MOST_TAGS - 1}}}$"}
CACHE_FIELD: Mapping[str, Schema] = {
    "penstock_cache": said(_CACHE_WISH, "What is wanted of the cache; the header `x-penstock-cache` goes before it."),
    "penstock_cache_tags": said(
        either(_CACHE_TAGS, many({**TEXT, "pattern": f"^{_CACHE_TAG}$"}, 0, MOST_TAGS)),
        "Tags by which the cached answer can be invalidated; the header `x-penstock-cache-tags` goes before it.",
    ),
}
CACHE_TAGS_HEADER = header(
    "x-penstock-cache-tags",
    _CACHE_TAGS,
    "Tags by which the cached answer can be invalidated, separated by commas. The field `penstock_cache_tags` of the "
    "body says the same.",
)
CACHE_HEADER = header(
    "x-penstock-cache",
    _CACHE_WISH,
    "What is wanted of the cache (docs/caching.md), words separated by commas: `off` and `no-store` neither read nor "
    "keep, `read` keeps nothing new, `refresh` (or `write`, `no-cache`) asks the provider and keeps its answer, "
    "`max-age=SECONDS` takes nothing older, `on` reads and keeps at any temperature. The field `penstock_cache` of the "
    "body says the same.",
)


def says_cache(reply: Operation) -> Operation:
    """The answer, with the header that says what the cache came to."""
    told = {
        "description": "What the cache came to; absent where it was not asked.",
        "schema": words("hit", "coalesced", "semantic", "miss"),
    }
    return {**reply, "headers": {"x-penstock-cache": told}}


def body(schema: Schema, example: Any, *, required: bool = True) -> Operation:
    """A JSON body, with one that works."""
    return {"required": required, "content": {JSON: {"schema": schema, "example": example}}}


def answer(schema: Schema, description: str = "Done.") -> Operation:
    """A JSON answer."""
    return {"description": description, "content": {JSON: {"schema": schema}}}


def streamed(reply: Operation, media_type: str, description: str) -> Operation:
    """The answer, or in its place a stream."""
    return {**reply, "content": {**reply["content"], **stream(media_type, description)["content"]}}


def stream(media_type: str, description: str) -> Operation:
    """An answer that is no JSON document.

    Its schema has no type: in a stream, some readers take it for the schema of one event, others for that of all.
    """
    return {"description": description, "content": {media_type: {"schema": {"description": description}}}}


def operation(
    reply: Operation,
    *errors: str,
    status: int = 200,
    parameters: tuple[Schema, ...] = (),
    request: Operation | None = None,
    more: Mapping[str, Operation] | None = None,
) -> Operation:
    """One operation: its good answer, and the statuses of its errors (see `api.schema.errors`).

    A key is needed by every one (401), with a scope (403), and every one needs the database to know it (503).
    """
    found: Operation = {"parameters": list(parameters)} if parameters else {}
    if request is not None:
        found["requestBody"] = request
    found["responses"] = {str(status): reply, **(more or {})}
    found["errors"] = sorted({*errors, "401", "403", "503"} | ({"400", "413"} if request is not None else set()))
    return found
