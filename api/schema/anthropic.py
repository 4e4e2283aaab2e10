"""Anthropic's messages and message batches, and the models, a path of both vendors."""

from api.anthropic.pages import DEFAULT_LIMIT, MAX_LIMIT
from api.schema.chat import FALLBACK, MAX_COST, RESIDENCY
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
    MOMENT,
    POSITIVE,
    PRIORITY_HEADER,
    TEXT,
    THING,
    Operations,
    Schema,
    answer,
    between,
    body,
    either,
    given,
    header,
    in_path,
    kind,
    limit,
    many,
    maybe,
    operation,
    query,
    ref,
    said,
    says_cache,
    stream,
    streamed,
    taken,
    words,
)
from penstock.dialects.anthropic_object import STOP_REASONS

_BLOCKS = either(TEXT, many(taken({"type": TEXT}, {"text": TEXT})))
_PROMPT: dict[str, Schema] = {"model": FILLED, "messages": many(ref("MessageParam"), 1)}
_OPTIONS: dict[str, Schema] = {
    "system": _BLOCKS,
    "temperature": between(0, 2),
    "top_p": between(0, 1),
    "top_k": COUNT,
    "stop_sequences": many(FILLED),
    "stream": said(FLAG, "Answer as server-sent events."),
    "tools": many(taken({"name": FILLED, "input_schema": THING}, {"type": kind("custom"), "description": TEXT})),
    "tool_choice": taken({"type": words("auto", "any", "none", "tool")}, {"disable_parallel_tool_use": FLAG}),
    "thinking": taken({"type": words("enabled", "disabled", "adaptive", "between_tools")}, {"budget_tokens": POSITIVE}),
    "output_config": taken({}, {"effort": words("low", "medium", "high", "xhigh", "max"), "format": THING}),
    "metadata": taken({}, {"user_id": TEXT}),
    "fallback": FALLBACK,
    "residency": RESIDENCY,
    "max_cost": MAX_COST,
}


def _page(item: Schema) -> Schema:
    return given({"data": many(item), "has_more": FLAG, "first_id": maybe(TEXT), "last_id": maybe(TEXT)})


SCHEMAS: dict[str, Schema] = {
    "MessageRequest": taken({**_PROMPT, "max_tokens": POSITIVE}, {**_OPTIONS, **CACHE_FIELD}),
    "MessageParam": taken({"role": words("user", "assistant", "system"), "content": _BLOCKS}, {}),
    "TokenCountRequest": taken(_PROMPT, _OPTIONS),
    "Message": given(
        {
            "id": TEXT,
            "type": kind("message"),
            "role": kind("assistant"),
            "model": TEXT,
            "content": many(given({"type": words("text", "tool_use", "thinking", "redacted_thinking")})),
            "stop_reason": words(*dict.fromkeys(STOP_REASONS.values())),
            "stop_sequence": maybe(TEXT),
            "usage": given(
                {
                    "input_tokens": COUNT,
                    "cache_creation_input_tokens": COUNT,
                    "cache_read_input_tokens": COUNT,
                    "output_tokens": COUNT,
                    "output_tokens_details": given({"thinking_tokens": COUNT}),
                }
            ),
        }
    ),
    "MessageBatchRequest": taken(
        {
            "requests": many(
                taken(
                    {
                        "custom_id": {"type": "string", "pattern": "^[a-zA-Z0-9_-]{1,64}$"},
                        "params": ref("MessageRequest"),
                    },
                    {},
                ),
                1,
            )
        },
        {},
    ),
    "MessageBatch": given(
        {
            "id": TEXT,
            "type": kind("message_batch"),
            "processing_status": words("in_progress", "canceling", "ended"),
            "request_counts": given(
                dict.fromkeys(("processing", "succeeded", "errored", "canceled", "expired"), COUNT)
            ),
            "created_at": MOMENT,
            "expires_at": MOMENT,
            "ended_at": maybe(MOMENT),
            "cancel_initiated_at": maybe(MOMENT),
            "archived_at": maybe(MOMENT),
            "results_url": maybe(TEXT),
            "estimated_completion_at": said(maybe(MOMENT), "When it is expected to end, as things stand."),
            "warning": said(maybe(TEXT), "What to know of it, such as that it cannot meet its window."),
        }
    ),
    "AnthropicModel": given(
        {
            "type": kind("model"),
            "id": TEXT,
            "display_name": TEXT,
            "created_at": MOMENT,
            "lifecycle": TEXT,
            "max_input_tokens": maybe(COUNT),
            "max_tokens": maybe(COUNT),
        }
    ),
    "AnthropicModelList": _page(ref("AnthropicModel")),
}

_VERSION = header("anthropic-version", TEXT, "Sent by Anthropic's clients, such as 2023-06-01.")
_CHOOSES = header("anthropic-version", TEXT, "With it, the answer is Anthropic's; without it, OpenAI's.")
_BATCH = in_path("batch_id", "The id of a message batch, `msgbatch_…`.")
_PAGE = (
    limit(DEFAULT_LIMIT, MAX_LIMIT),
    query("after_id", TEXT, "The id right after which the page begins."),
    query("before_id", TEXT, "The id right before which the page ends; not together with `after_id`."),
)
_HELLO = {"model": "claude", "messages": [{"role": "user", "content": "Hello!"}]}
_ASKED = {**_HELLO, "max_tokens": 100}

OPERATIONS: Operations = {
    ("POST", "/v1/messages"): operation(
        says_cache(streamed(answer(ref("Message")), EVENTS, "With `stream`: the events of the message.")),
        *OF_A_MODEL,
        parameters=(_VERSION, CACHE_HEADER, CACHE_TAGS_HEADER),
        request=body(ref("MessageRequest"), _ASKED),
    ),
    ("POST", "/v1/messages/count_tokens"): operation(
        answer(given({"input_tokens": COUNT})),
        "404",
        parameters=(_VERSION,),
        request=body(ref("TokenCountRequest"), _HELLO),
    ),
    ("POST", "/v1/messages/batches"): operation(
        answer(ref("MessageBatch")),
        "409",
        parameters=(_VERSION, IDEMPOTENCY_KEY, PRIORITY_HEADER),
        request=body(ref("MessageBatchRequest"), {"requests": [{"custom_id": "first", "params": _ASKED}]}),
    ),
    ("GET", "/v1/messages/batches"): operation(
        answer(_page(ref("MessageBatch"))), "400", parameters=(_VERSION, *_PAGE)
    ),
    ("GET", "/v1/messages/batches/{batch_id}"): operation(
        answer(ref("MessageBatch")), "404", parameters=(_VERSION, _BATCH)
    ),
    ("GET", "/v1/messages/batches/{batch_id}/results"): operation(
        stream("application/x-jsonl", "One request's result per line."), "404", parameters=(_VERSION, _BATCH)
    ),
    ("POST", "/v1/messages/batches/{batch_id}/cancel"): operation(
        answer(ref("MessageBatch")), "404", parameters=(_VERSION, _BATCH)
    ),
    ("DELETE", "/v1/messages/batches/{batch_id}"): operation(
        answer(given({"id": TEXT, "type": kind("message_batch_deleted")})),
        "400",
        "404",
        parameters=(_VERSION, _BATCH),
    ),
    ("GET", "/v1/models"): operation(
        answer({"oneOf": [ref("OpenAIModelList"), ref("AnthropicModelList")]}), "400", parameters=(_CHOOSES, *_PAGE)
    ),
    ("GET", "/v1/models/{model}"): operation(
        answer({"oneOf": [ref("OpenAIModel"), ref("AnthropicModel")]}),
        "404",
        parameters=(_CHOOSES, in_path("model", "The name of a model or route; it may contain slashes.")),
    ),
}
