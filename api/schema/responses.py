"""OpenAI's responses."""

from api.schema.chat import FALLBACK, MAX_COST, METADATA, RESIDENCY
from api.schema.errors import OF_A_MODEL
from api.schema.shapes import (
    CACHE_FIELD,
    CACHE_HEADER,
    CACHE_TAGS_HEADER,
    COUNT,
    EVENTS,
    FILLED,
    FLAG,
    IDEMPOTENCY_KEY,
    INTEGER,
    POSITIVE,
    PRIORITY_HEADER,
    TEXT,
    THING,
    TIME,
    URL,
    Operations,
    Schema,
    after,
    answer,
    between,
    body,
    either,
    given,
    in_path,
    kind,
    limit,
    many,
    maybe,
    operation,
    page,
    query,
    ref,
    said,
    says_cache,
    streamed,
    taken,
    texts,
    whole,
    words,
)
from penstock.dialects.openai_fields import MAX_TOP_LOGPROBS
from penstock.dialects.responses_request import WINDOWS

_TOOL = taken({"type": kind("function"), "name": FILLED}, {"description": TEXT, "parameters": THING, "strict": FLAG})
_REQUEST = taken(
    {"model": FILLED, "input": said(either(TEXT, many(THING, 1)), "A text, or the items of a conversation.")},
    {
        "instructions": TEXT,
        "previous_response_id": said(TEXT, "The response that this one continues."),
        "background": said(FLAG, "Work on, whatever becomes of the client."),
        "background_options": taken({}, {"completion_window": words(*WINDOWS), "continuation_id": TEXT}),
        "callback_url": said(URL, "Where its end is told; with `background` only. Not the vendor's."),
        "stream": said(FLAG, "Answer as server-sent events."),
        "stream_options": THING,
        "store": FLAG,
        "max_output_tokens": POSITIVE,
        "max_tool_calls": COUNT,
        "temperature": between(0, 2),
        "top_p": between(0, 1),
        "top_k": INTEGER,
        "seed": INTEGER,
        "top_logprobs": whole(0, MAX_TOP_LOGPROBS),
        "tools": many(_TOOL),
        "tool_choice": said(either(words("auto", "none", "required"), THING), "A mode, or the name of a function."),
        "parallel_tool_calls": FLAG,
        "reasoning": taken({}, {"effort": TEXT}),
        "text": taken({}, {"format": taken({"type": TEXT}, {}), "verbosity": words("low", "medium", "high")}),
        "include": texts(),
        "truncation": words("auto", "disabled"),
        "prompt_cache_key": TEXT,
        "safety_identifier": TEXT,
        "user": TEXT,
        **CACHE_FIELD,
        "metadata": METADATA,
        "fallback": FALLBACK,
        "residency": RESIDENCY,
        "max_cost": MAX_COST,
    },
)
_USAGE = given(
    {
        "input_tokens": COUNT,
        "input_tokens_details": given({"cached_tokens": COUNT, "cache_write_tokens": COUNT}),
        "output_tokens": COUNT,
        "output_tokens_details": given({"reasoning_tokens": COUNT}),
        "total_tokens": COUNT,
    }
)
_RESPONSE = given(
    {
        "id": TEXT,
        "object": kind("response"),
        "created_at": TIME,
        "status": words("queued", "in_progress", "completed", "incomplete", "failed", "cancelled"),
        "background": FLAG,
        "completed_at": maybe(TIME),
        "error": maybe(given({"code": TEXT, "message": TEXT})),
        "incomplete_details": maybe(given({"reason": TEXT})),
        "model": TEXT,
        "output": many(given({"type": words("message", "reasoning", "function_call"), "id": TEXT, "status": TEXT})),
        "usage": maybe(_USAGE),
        "instructions": maybe(TEXT),
        "previous_response_id": maybe(TEXT),
        "store": FLAG,
        "tools": many(THING),
        "metadata": THING,
    }
)

SCHEMAS: dict[str, Schema] = {
    "ResponseRequest": _REQUEST,
    "Response": _RESPONSE,
    "InputItem": given({"id": TEXT, "type": TEXT}),
}

_ID = in_path("response_id", "The id of a response, `resp_…`.")
_EVENTS = "The events of the response, numbered."

OPERATIONS: Operations = {
    ("POST", "/v1/responses"): operation(
        says_cache(streamed(answer(ref("Response")), EVENTS, f"With `stream`: {_EVENTS}")),
        *OF_A_MODEL,
        "409",
        parameters=(IDEMPOTENCY_KEY, PRIORITY_HEADER, CACHE_HEADER, CACHE_TAGS_HEADER),
        request=body(ref("ResponseRequest"), {"model": "fast", "input": "Hello!", "background": True}),
    ),
    ("POST", "/v1/responses/input_tokens"): operation(
        answer(given({"object": kind("response.input_tokens"), "input_tokens": COUNT})),
        *OF_A_MODEL,
        request=body(ref("ResponseRequest"), {"model": "fast", "input": "Hello!"}),
    ),
    ("GET", "/v1/responses/{response_id}"): operation(
        streamed(answer(ref("Response")), EVENTS, f"With `stream=true`: {_EVENTS}"),
        "400",
        "404",
        parameters=(
            _ID,
            query("stream", words("false", "true"), "Give the events, the past ones at once."),
            query("starting_after", COUNT, "The number of the event after which the stream begins."),
        ),
    ),
    ("GET", "/v1/responses/{response_id}/input_items"): operation(
        answer(page(ref("InputItem"))),
        "400",
        "404",
        parameters=(_ID, limit(20, 100), query("order", words("desc", "asc"), "Which come first."), after("item")),
    ),
    ("POST", "/v1/responses/{response_id}/cancel"): operation(answer(ref("Response")), "400", "404", parameters=(_ID,)),
    ("DELETE", "/v1/responses/{response_id}"): operation(
        answer(given({"id": TEXT, "object": kind("response"), "deleted": {"const": True}})), "404", parameters=(_ID,)
    ),
}
