"""Answers of OpenAI's chat completions."""

from itertools import zip_longest
from typing import Any

from conformance.upstream import KEY
from conformance.wires.wire import Parts, Wire, pieces_of, sse

from penstock.providers.openai_chat import ChatReader, OpenAIChat

USAGE = {
    "prompt_tokens": 19,
    "completion_tokens": 7,
    "total_tokens": 26,
    "prompt_tokens_details": {"cached_tokens": 8, "cache_write_tokens": 2, "audio_tokens": None},
    "completion_tokens_details": {"reasoning_tokens": 3},
}
_FIELDS = {"text": "content", "reasoning": "reasoning_content", "refusal": "refusal"}


def _call(call: tuple[str, str, str | None, str | None]) -> Any:
    _, arguments, call_id, name = call
    return {"id": call_id, "type": "function", "function": {"name": name, "arguments": arguments}}


def plain(parts: Parts, reason: str = "stop", **more: Any) -> Any:
    parts = list(parts)
    message: dict[str, Any] = {"role": "assistant", "content": None, "refusal": None}
    message |= {_FIELDS[kind]: text for kind, text, *_ in parts if kind != "tool_call"}
    calls = [_call(part) for part in parts if part[0] == "tool_call"]
    if calls:
        message["tool_calls"] = calls
    choice = {"index": 0, "message": message, "logprobs": None, "finish_reason": reason, **more}
    return {
        "id": "chatcmpl-1",
        "object": "chat.completion",
        "created": 1,
        "model": "served",
        "choices": [choice],
        "usage": USAGE,
    }


def chunk(delta: Any, reason: str | None = None, index: int = 0, **more: Any) -> bytes:
    choices = [{"index": index, "delta": delta, "finish_reason": reason, **more}]
    return sse({"id": "chatcmpl-1", "object": "chat.completion.chunk", "choices": choices, "usage": None})


def events(parts: Parts, reason: str = "stop", **more: Any) -> list[bytes]:
    made = [chunk({"role": "assistant", "content": "", "refusal": None})]
    calls = []
    for kind, text, *named in parts:
        if kind == "tool_call":
            calls.append((text, *named))
        else:
            made += [chunk({_FIELDS[kind]: piece}) for piece in pieces_of(text)]
    for index, (_, call_id, name) in enumerate(calls):
        opened = {"index": index, "id": call_id, "type": "function", "function": {"name": name, "arguments": ""}}
        made.append(chunk({"tool_calls": [opened]}))
    # Parallel calls grow in turns.
    for turn in zip_longest(*(pieces_of(arguments) for arguments, *_ in calls)):
        grown = [{"index": index, "function": {"arguments": piece}} for index, piece in enumerate(turn) if piece]
        made.append(chunk({"tool_calls": grown}))
    usage = sse({"id": "chatcmpl-1", "choices": [], "usage": USAGE})
    return [*made, chunk({}, reason, **more), usage, b"data: [DONE]\n\n"]


def error(kind: str, message: str) -> Any:
    return {"error": {"message": message, "type": kind, "param": None, "code": kind}}


WIRE = Wire(
    format="openai",
    adapter=OpenAIChat,
    base="/v1",
    path="/v1/chat/completions",
    stream_path="/v1/chat/completions",
    credentials={"authorization": f"Bearer {KEY}"},
    reader=ChatReader,
    heard=lambda parts: sorted(parts, key=lambda part: part[0] == "tool_call"),
    plain=plain,
    events=events,
    error=error,
    error_event=lambda kind, message: sse(error(kind, message)),
    reasons={"stop": "stop", "length": "length", "tool_calls": "tool_calls", "content_filter": "content_filter"},
    tool_reason="tool_calls",
    heartbeat=b": still here\n\n",
    stop_string=("stop", {"stop_reason": "END"}),
    bases={"/v1": "/v1/chat/completions", "/v1/": "/v1/chat/completions", "/api/v4": "/api/v4/chat/completions"},
)
