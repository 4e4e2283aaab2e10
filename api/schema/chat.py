"""OpenAI's chat completions, legacy completions, embeddings and models."""

from api.schema.errors import OF_A_MODEL
from api.schema.shapes import (
    CACHE_FIELD,
    CACHE_HEADER,
    CACHE_TAGS_HEADER,
    COUNT,
    EVENTS,
    FILLED,
    FLAG,
    INTEGER,
    NUMBER,
    POSITIVE,
    TEXT,
    THING,
    TIME,
    Operations,
    Schema,
    answer,
    between,
    body,
    either,
    given,
    kind,
    listing,
    many,
    maybe,
    operation,
    ref,
    said,
    says_cache,
    streamed,
    taken,
    texts,
    whole,
    words,
)
from penstock.dialects.chat_object import FINISH_REASONS
from penstock.dialects.chat_request import MAX_CHOICES
from penstock.dialects.openai_embeddings import MAX_INPUTS
from penstock.dialects.openai_fields import MAX_TOP_LOGPROBS
from penstock.dialects.text_object import FINISH_REASONS as TEXT_FINISH_REASONS
from penstock.dialects.text_request import MAX_TEXTS

FALLBACK = said(texts(0, 8), "Models to ask, in this order, when the one asked for fails. Not the vendor's.")
RESIDENCY = said(
    {"type": "string", "pattern": "^[A-Za-z0-9_.-]{1,64}$"},
    "The tag of where the data of this request must stay: only models of that `residency` are asked. Not the vendor's.",
)
MAX_COST = said(
    {"type": "number", "exclusiveMinimum": 0, "maximum": 1_000_000},
    "US dollars that this request may cost: models that are expected to cost more are not asked. Not the vendor's.",
)
METADATA: Schema = {
    "type": "object",
    "maxProperties": 16,
    "propertyNames": {"maxLength": 64},
    "additionalProperties": {"type": "string", "maxLength": 512},
}
_FUNCTION = taken({"name": FILLED}, {"description": TEXT, "parameters": THING, "strict": FLAG})
_FORMAT_KIND = words("text", "json_object", "json_schema")
_STREAM_OPTIONS = taken({}, {"include_usage": FLAG})
#: what both kinds of completions can be told
_SAMPLING: dict[str, Schema] = {
    "max_tokens": POSITIVE,
    "temperature": between(0, 2),
    "top_p": between(0, 1),
    "top_k": INTEGER,
    "n": whole(1, MAX_CHOICES),
    "stop": either(TEXT, texts()),
    "seed": INTEGER,
    "presence_penalty": between(-2, 2),
    "frequency_penalty": between(-2, 2),
    "logit_bias": {"type": "object", "additionalProperties": NUMBER},
    "user": TEXT,
    **CACHE_FIELD,
    "stream": said(FLAG, "Answer as server-sent events."),
    "stream_options": _STREAM_OPTIONS,
    "store": FLAG,
    "metadata": METADATA,
    "fallback": FALLBACK,
    "residency": RESIDENCY,
    "max_cost": MAX_COST,
}
MESSAGE = taken(
    {"role": words("system", "developer", "user", "assistant", "tool")},
    {
        "content": either(TEXT, many(taken({"type": TEXT}, {"text": TEXT, "image_url": THING, "file": THING}))),
        "name": TEXT,
        "tool_call_id": said(TEXT, "Of a message of role tool: the call that it answers."),
        "tool_calls": many(taken({"function": THING}, {"id": TEXT, "type": TEXT})),
    },
)
#: beside model and messages
CHAT_OPTIONS: dict[str, Schema] = {
    **_SAMPLING,
    "max_completion_tokens": POSITIVE,
    "logprobs": FLAG,
    "top_logprobs": said(whole(0, MAX_TOP_LOGPROBS), "Needs `logprobs` to be true."),
    "tools": many(taken({"type": kind("function"), "function": _FUNCTION}, {})),
    "tool_choice": said(either(words("auto", "none", "required"), THING), "A mode, or the name of a function."),
    "parallel_tool_calls": FLAG,
    "response_format": taken({"type": _FORMAT_KIND}, {"json_schema": THING}),
    "reasoning_effort": said(TEXT, "How much to think; a word of a server's own is left to that server."),
}
_USAGE = given(
    {
        "prompt_tokens": COUNT,
        "completion_tokens": COUNT,
        "total_tokens": COUNT,
        "prompt_tokens_details": given({"cached_tokens": COUNT, "cache_write_tokens": COUNT}),
        "completion_tokens_details": given({"reasoning_tokens": COUNT}),
    }
)
_CHAT_MESSAGE = given(
    {"role": kind("assistant"), "content": maybe(TEXT), "refusal": maybe(TEXT)},
    {
        "reasoning_content": TEXT,
        "reasoning_details": many(THING),
        "tool_calls": many(
            given(
                {"id": TEXT, "type": kind("function"), "function": given({"name": TEXT, "arguments": TEXT})},
                {"extra_content": THING},
            )
        ),
    },
)


def _completion(name: str, choice: Schema) -> Schema:
    head = {"id": TEXT, "object": kind(name), "created": TIME, "model": TEXT, "system_fingerprint": maybe(TEXT)}
    return given({**head, "choices": many(choice), "usage": _USAGE})


SCHEMAS: dict[str, Schema] = {
    "ChatCompletionRequest": taken({"model": FILLED, "messages": many(ref("ChatMessage"), 1)}, CHAT_OPTIONS),
    "ChatMessage": MESSAGE,
    "ChatCompletion": _completion(
        "chat.completion",
        given(
            {
                "index": COUNT,
                "message": _CHAT_MESSAGE,
                "logprobs": maybe(given({"content": maybe(many(THING)), "refusal": maybe(many(THING))})),
                "finish_reason": words(*dict.fromkeys(FINISH_REASONS.values())),
            }
        ),
    ),
    "CompletionRequest": taken(
        {"model": FILLED, "prompt": either(TEXT, texts(1, MAX_TEXTS))},
        {
            **_SAMPLING,
            "logprobs": said(whole(0, MAX_TOP_LOGPROBS), "Not together with `echo`."),
            "echo": said(FLAG, "Put the prompt before the answer."),
            "best_of": said(POSITIVE, "Only equal to `n`."),
        },
    ),
    "Completion": _completion(
        "text_completion",
        given(
            {
                "index": COUNT,
                "text": TEXT,
                "logprobs": maybe(THING),
                "finish_reason": words(*dict.fromkeys(TEXT_FINISH_REASONS.values())),
            }
        ),
    ),
    "EmbeddingRequest": taken(
        {
            "model": FILLED,
            "input": said(
                either(FILLED, many(FILLED, 1, MAX_INPUTS), many(COUNT, 1), many(many(COUNT, 1), 1, MAX_INPUTS)),
                "A text, texts, a prompt in tokens, or prompts in tokens.",
            ),
        },
        {
            "dimensions": POSITIVE,
            "encoding_format": words("float", "base64"),
            "user": TEXT,
            **CACHE_FIELD,
            "metadata": METADATA,
            "fallback": FALLBACK,
            "residency": RESIDENCY,
            "max_cost": MAX_COST,
        },
    ),
    "EmbeddingList": given(
        {
            "object": kind("list"),
            "data": many(given({"object": kind("embedding"), "index": COUNT, "embedding": either(many(NUMBER), TEXT)})),
            "model": TEXT,
            "usage": given({"prompt_tokens": COUNT, "total_tokens": COUNT}),
        }
    ),
    "OpenAIModel": given({"id": TEXT, "object": kind("model"), "created": TIME, "owned_by": TEXT}),
    "OpenAIModelList": listing(ref("OpenAIModel")),
}

_HELLO = [{"role": "user", "content": "Hello!"}]

OPERATIONS: Operations = {
    ("POST", "/v1/chat/completions"): operation(
        says_cache(
            streamed(
                answer(ref("ChatCompletion")), EVENTS, "With `stream`: chunks of the completion, then `data: [DONE]`."
            )
        ),
        *OF_A_MODEL,
        parameters=(CACHE_HEADER, CACHE_TAGS_HEADER),
        request=body(ref("ChatCompletionRequest"), {"model": "fast", "messages": _HELLO}),
    ),
    ("POST", "/v1/completions"): operation(
        says_cache(
            streamed(answer(ref("Completion")), EVENTS, "With `stream`: chunks of the completion, then `data: [DONE]`.")
        ),
        *OF_A_MODEL,
        parameters=(CACHE_HEADER, CACHE_TAGS_HEADER),
        request=body(ref("CompletionRequest"), {"model": "fast", "prompt": "Once upon a time"}),
    ),
    ("POST", "/v1/embeddings"): operation(
        says_cache(answer(ref("EmbeddingList"))),
        *OF_A_MODEL,
        parameters=(CACHE_HEADER, CACHE_TAGS_HEADER),
        request=body(ref("EmbeddingRequest"), {"model": "vectors", "input": ["a text", "another"]}),
    ),
}
