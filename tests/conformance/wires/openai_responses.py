"""Answers of OpenAI's Responses."""

from typing import Any

from conformance.upstream import KEY
from conformance.wires.wire import Parts, Said, Wire, pieces_of, sse

from penstock.providers.openai_responses import OpenAIResponses, ResponsesReader

_USAGE = {
    "input_tokens": 19,
    "input_tokens_details": {"cached_tokens": 8, "cache_write_tokens": 2},
    "output_tokens": 7,
    "output_tokens_details": {"reasoning_tokens": 3},
    "total_tokens": 26,
}
SEAL = "gAAAAA-sealed"


def item(index: int, said: Said) -> dict[str, Any]:
    """A finished output item."""
    kind, text, call_id, name = said
    if kind == "tool_call":
        call = {"type": "function_call", "id": f"fc_{index}", "call_id": call_id, "name": name, "arguments": text}
        return call | {"status": "completed"}
    if kind == "reasoning":
        summary = [{"type": "summary_text", "text": text}]
        return {"type": "reasoning", "id": f"rs_{index}", "summary": summary, "encrypted_content": SEAL}
    content = {"type": "output_text", "text": text, "annotations": [], "logprobs": []}
    if kind == "refusal":
        content = {"type": "refusal", "refusal": text}
    message = {"type": "message", "id": f"msg_{index}", "role": "assistant", "status": "completed"}
    return message | {"content": [content]}


def plain(parts: Parts, reason: str = "completed", **more: Any) -> Any:
    short = reason != "completed"
    return {
        "id": "resp_1",
        "object": "response",
        "created_at": 1,
        "status": "incomplete" if short else "completed",
        "error": None,
        "incomplete_details": {"reason": reason} if short else None,
        "model": "served",
        "output": [item(index, part) for index, part in enumerate(parts)],
        "usage": _USAGE,
        **more,
    }


def event(kind: str, **more: Any) -> bytes:
    return sse({"type": kind, "sequence_number": 0, **more}, kind)


def events(parts: Parts, reason: str = "completed", **more: Any) -> list[bytes]:
    parts = list(parts)
    opened = {"id": "resp_1", "object": "response", "status": "in_progress", "output": [], "usage": None, "error": None}
    made = [event("response.created", response=opened)]
    for index, part in enumerate(parts):
        made += _item_events(index, part)
    final = plain(parts, reason, **more)
    # Some servers end their streams as chat completions do; the vendor's own just end.
    return [*made, event(f"response.{final['status']}", response=final), b"data: [DONE]\n\n"]


def _item_events(index: int, said: Said) -> list[bytes]:
    kind, text, *_ = said
    done = item(index, said)
    at = {"item_id": done["id"], "output_index": index}
    emptied: dict[str, Any] = {"status": "in_progress"}
    emptied |= {name: type(done[name])() for name in ("arguments", "content", "summary") if name in done}
    added = event("response.output_item.added", output_index=index, item=done | emptied | {"encrypted_content": "g"})
    finished = event("response.output_item.done", output_index=index, item=done)
    if kind == "tool_call":
        deltas = [event("response.function_call_arguments.delta", **at, delta=piece) for piece in pieces_of(text)]
        whole = event("response.function_call_arguments.done", **at, arguments=text)
        return [added, *deltas, whole, finished]
    if kind == "reasoning":
        at |= {"summary_index": 0}
        deltas = [event("response.reasoning_summary_text.delta", **at, delta=piece) for piece in pieces_of(text)]
        return [added, *deltas, event("response.reasoning_summary_text.done", **at, text=text), finished]
    at |= {"content_index": 0}
    name = "output_text" if kind == "text" else "refusal"
    part = done["content"][0]
    deltas = [event(f"response.{name}.delta", **at, delta=piece, logprobs=[]) for piece in pieces_of(text)]
    whole = event(f"response.{name}.done", **at, text=text)
    return [added, event("response.content_part.added", **at, part={"type": part["type"]}), *deltas, whole, finished]


def error(kind: str, message: str) -> Any:
    return {"error": {"message": message, "type": kind, "param": None, "code": kind}}


WIRE = Wire(
    format="openai-responses",
    adapter=OpenAIResponses,
    base="/v1",
    path="/v1/responses",
    stream_path="/v1/responses",
    credentials={"authorization": f"Bearer {KEY}"},
    reader=lambda _: ResponsesReader(),
    plain=plain,
    events=events,
    error=error,
    error_event=lambda kind, message: event("error", code=kind, message=message, param=None),
    reasons={"completed": "stop", "max_output_tokens": "length", "content_filter": "content_filter"},
    tool_reason="completed",
    ends=b'"type": "response.completed"',
    heartbeat=b": still here\n\n",
    bases={"/v1": "/v1/responses", "/v1/": "/v1/responses"},
)
