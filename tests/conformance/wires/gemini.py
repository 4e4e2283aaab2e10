"""Answers of Google's generateContent."""

import json
from dataclasses import replace
from typing import Any

from conformance.upstream import KEY
from conformance.wires.wire import USAGE as FULL_USAGE
from conformance.wires.wire import Parts, Wire, pieces_of, sse

from penstock.providers.gemini import Gemini
from penstock.providers.gemini_answer import GenerateContentReader
from penstock.providers.gemini_framing import GeminiDecoder

#: what every chunk counts; the last one also counts the answer
COUNTED = {
    "promptTokenCount": 14,
    "cachedContentTokenCount": 8,
    "toolUsePromptTokenCount": 5,
    "promptTokensDetails": [{"modality": "TEXT", "tokenCount": 14}],
}
USAGE = COUNTED | {"candidatesTokenCount": 4, "thoughtsTokenCount": 3, "totalTokenCount": 26}
_STATUSES = {
    "invalid_request_error": (400, "INVALID_ARGUMENT"),
    "authentication_error": (401, "UNAUTHENTICATED"),
    "permission_error": (403, "PERMISSION_DENIED"),
    "not_found_error": (404, "NOT_FOUND"),
    "rate_limit_error": (429, "RESOURCE_EXHAUSTED"),
    "api_error": (500, "INTERNAL"),
    "overloaded_error": (503, "UNAVAILABLE"),
}


def part_of(kind: str, text: str, call_id: str | None = None, name: str | None = None) -> Any:
    if kind == "tool_call":
        return {"functionCall": {"id": call_id, "name": name, "args": json.loads(text)}}
    return {"text": text} | ({"thought": True} if kind == "reasoning" else {})


def answer(parts: list[Any], reason: str | None = "STOP", index: int = 0, **more: Any) -> Any:
    """One chunk; a whole answer is one that ends."""
    candidate = {"content": {"parts": parts, "role": "model"}, "index": index, **more}
    if reason is not None:
        candidate["finishReason"] = reason
    counted = COUNTED if reason is None else USAGE
    return {"candidates": [candidate], "usageMetadata": counted, "modelVersion": "served", "responseId": "r1"}


def plain(parts: Parts, reason: str = "STOP", **more: Any) -> Any:
    return answer([part_of(*part) for part in parts], reason, **more)


def chunk(*parts: Any, reason: str | None = None, index: int = 0, **more: Any) -> bytes:
    return sse(answer(list(parts), reason, index, **more))


def events(parts: Parts, reason: str = "STOP", **more: Any) -> list[bytes]:
    """Calls come whole, and parallel ones in one chunk; texts grow. While the model thinks, chunks may be empty."""
    made: list[bytes] = [chunk()]
    calls: list[Any] = []
    for kind, text, *named in parts:
        if kind == "tool_call":
            calls.append(part_of(kind, text, *named))
            continue
        if calls:
            made.append(chunk(*calls))
            calls = []
        made += [chunk(part_of(kind, piece)) for piece in pieces_of(text)]
    # The last chunk may hold an empty text besides the reason.
    return [*made, chunk(*(calls or [{"text": ""}]), reason=reason, **more)]


def error(kind: str, message: str) -> Any:
    code, status = _STATUSES.get(kind, (None, kind))
    return {"error": ({"code": code} if code else {}) | {"message": message, "status": status}}


WIRE = Wire(
    format="gemini",
    adapter=Gemini,
    base="/v1beta",
    path="/v1beta/models/served:generateContent",
    stream_path="/v1beta/models/served:streamGenerateContent?alt=sse",
    credentials={"x-goog-api-key": KEY},
    reader=GenerateContentReader,
    decoder=GeminiDecoder,
    plain=plain,
    events=events,
    error=error,
    error_event=lambda kind, message: sse(error(kind, message)),
    reasons={"STOP": "stop", "MAX_TOKENS": "length", "SAFETY": "content_filter", "RECITATION": "content_filter"},
    tool_reason="STOP",
    ends=b'finishReason": "',
    end_mark=False,
    ends_with_connection=True,
    heartbeat=b": still here\n\n",
    usage=replace(FULL_USAGE, cache_write_tokens=0),
    bases={
        "/v1beta": "/v1beta/models/served:generateContent",
        "/v1/": "/v1/models/served:generateContent",
        "": "/v1beta/models/served:generateContent",
        "/proxied/google/": "/proxied/google/v1beta/models/served:generateContent",
    },
)
