"""Penstock's own jobs."""

from typing import get_args

from api.jobs.rehearsals import ENDPOINTS, MAX_REQUESTS
from api.schema.chat import CHAT_OPTIONS
from api.schema.shapes import (
    CACHE_HEADER,
    CACHE_TAGS_HEADER,
    COUNT,
    EVENTS,
    FILLED,
    FLAG,
    IDEMPOTENCY_KEY,
    INTEGER,
    NUMBER,
    PRIORITY,
    PRIORITY_HEADER,
    TEXT,
    THING,
    TIME,
    URL,
    WINDOW,
    Operations,
    Schema,
    answer,
    body,
    either,
    given,
    header,
    in_path,
    kind,
    listing,
    many,
    maybe,
    operation,
    ref,
    said,
    stream,
    taken,
    texts,
    words,
)
from penstock.rules.lifecycle import JobState

_REQUEST = taken(
    {"model": FILLED},
    {
        "input": said(TEXT, "A prompt, in place of `messages`."),
        "messages": many(ref("ChatMessage"), 1),
        "callback_url": said(URL, "Where its end is told."),
        "priority": PRIORITY,
        "completion_window": said(WINDOW, "After so many hours it expires. Default: never."),
        **CHAT_OPTIONS,
    },
)
_CHOICE: dict[str, Schema] = {
    "text": TEXT,
    "reasoning": maybe(TEXT),
    "refusal": maybe(TEXT),
    "tool_calls": many(given({"id": TEXT, "name": TEXT, "arguments": TEXT})),
    "finish_reason": maybe(TEXT),
}
_TOKENS = (
    "input_tokens", "output_tokens", "total_tokens", "cached_tokens", "cache_write_tokens", "reasoning_tokens",
)  # fmt: skip
_ATTEMPT = given(
    {
        "deployment": TEXT,
        "started_at": NUMBER,
        "outcome": maybe(TEXT),
        "error": maybe(given({"type": TEXT, "message": maybe(TEXT)})),
        "input_tokens": maybe(COUNT),
        "output_tokens": maybe(COUNT),
        "cached_tokens": maybe(COUNT),
        "cost": maybe(NUMBER),
        "latency_ms": maybe(NUMBER),
        "first_token_ms": maybe(NUMBER),
    }
)

_DECISION: dict[str, Schema] = {
    "route": TEXT,
    "policy": TEXT,
    "reason": TEXT,
    "order": said(texts(1), "The models in the order in which they are asked."),
    "excluded": said({"type": "object", "additionalProperties": TEXT}, "Models that may not serve it, and why."),
}
_ROUTING = given(
    {"route": TEXT, "policy": TEXT, "answered_by": maybe(TEXT)},
    {
        **_DECISION,
        "steps": many(
            given(
                {
                    "deployment": TEXT,
                    "accepted": FLAG,
                    "confidence": maybe(NUMBER),
                    "reason": TEXT,
                    "cost": maybe(NUMBER),
                },
                {"signals": {"type": "object", "additionalProperties": maybe(NUMBER)}},
            )
        ),
        "artefact": said(maybe(COUNT), "The version of the learnt policy that was asked."),
    },
)
_ERROR = given(
    {"type": TEXT, "message": TEXT, "status": INTEGER, "param": maybe(TEXT), "code": maybe(TEXT)},
)
_REHEARSED = given(
    {"model": maybe(TEXT), "deployment": maybe(TEXT), "error": maybe(_ERROR)},
    {
        "order": texts(1),
        "input_tokens": COUNT,
        "output_tokens": COUNT,
        "cost": said(maybe(NUMBER), "US dollars at `deployment`, estimated; null where no price is known."),
        "costs": said({"type": "object", "additionalProperties": maybe(NUMBER)}, "The same, of all in `order`."),
        "routing": maybe(given(_DECISION)),
        "stages": said(maybe(many(texts(1))), "Of a route that escalates: the models of each step."),
        "shares": said(maybe(many(NUMBER)), "Which share of your latest jobs there was asked each step."),
    },
)

SCHEMAS: dict[str, Schema] = {
    # one of the two must be there, and a null is as good as nothing
    "JobRequest": {
        **_REQUEST,
        "oneOf": [
            {"required": ["input"], "properties": {"input": TEXT, "messages": {"type": "null"}}},
            {"required": ["messages"], "properties": {"messages": {"type": "array"}, "input": {"type": "null"}}},
        ],
    },
    "Rehearsal": listing(_REHEARSED),
    "RehearsalRequest": either(
        taken(
            {"requests": many(THING, 1, MAX_REQUESTS)},
            {"endpoint": said(words(*ENDPOINTS), "Whose bodies they are, as in a batch's lines.")},
        ),
        ref("JobRequest"),
    ),
    "Job": given(
        {
            "id": TEXT,
            "object": kind("job"),
            "status": words(*get_args(JobState)),
            "model": TEXT,
            "created_at": TIME,
            "started": FLAG,
            "finished_at": maybe(TIME),
            "output": maybe(
                either(given(_CHOICE, {"choices": many(given(_CHOICE))}), given({"embeddings": many(many(NUMBER))}))
            ),
            "usage": maybe(given(dict.fromkeys(_TOKENS, COUNT))),
            "error": maybe(given({"type": TEXT, "message": TEXT, "code": maybe(TEXT)})),
            "cache": maybe(words("hit", "coalesced", "semantic", "miss")),
            "metadata": maybe(THING),
            "callback_url": maybe(TEXT),
            "routing": said(maybe(_ROUTING), "How a route chose, and why; null where a model was named."),
            "priority": INTEGER,
            "expires_at": maybe(TIME),
            "deployment": maybe(TEXT),
            "cost": said(maybe(NUMBER), "US dollars, null where no price is known."),
            "attempts": many(_ATTEMPT),
        }
    ),
}

_ID = in_path("job_id", "The id of a job, `job_…`.")
_LAST = header(
    "Last-Event-ID",
    {"type": "string", "pattern": "^[0-9]{1,18}$"},
    "The id of the last event seen; what follows comes.",
)

OPERATIONS: Operations = {
    ("POST", "/v1/jobs"): operation(
        answer(ref("Job"), "Accepted, and durable."),
        "404",
        "409",
        status=202,
        parameters=(IDEMPOTENCY_KEY, PRIORITY_HEADER, CACHE_HEADER, CACHE_TAGS_HEADER),
        request=body(ref("JobRequest"), {"model": "fast", "input": "Hello!"}),
    ),
    ("POST", "/v1/jobs/route"): operation(
        answer(ref("Rehearsal"), "Where each request would go."),
        "404",
        request=body(ref("RehearsalRequest"), {"model": "fast", "input": "Hello!"}),
    ),
    ("GET", "/v1/jobs/{job_id}"): operation(answer(ref("Job")), "404", parameters=(_ID,)),
    ("POST", "/v1/jobs/{job_id}/cancel"): operation(answer(ref("Job")), "400", "404", parameters=(_ID,)),
    ("GET", "/v1/jobs/{job_id}/stream"): operation(
        stream(EVENTS, "The events start, part, delta, reset and end."), "400", "404", parameters=(_ID, _LAST)
    ),
}
