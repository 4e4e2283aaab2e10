"""Answers of Anthropic's messages."""

import json
from typing import Any

from conformance.upstream import KEY
from conformance.wires.wire import Parts, Wire, pieces_of, sse

from penstock.providers.anthropic_messages import AnthropicMessages, MessagesReader

_USAGE = {"input_tokens": 9, "cache_read_input_tokens": 8, "cache_creation_input_tokens": 2}
_END = {"output_tokens": 7, "output_tokens_details": {"thinking_tokens": 3}, "server_tool_use": None}
_BLOCKS = {"text": ("text", "text", "text_delta"), "reasoning": ("thinking", "thinking", "thinking_delta")}


def plain(parts: Parts, reason: str = "end_turn", **more: Any) -> Any:
    content = []
    for kind, text, call_id, name in parts:
        if kind == "tool_call":
            content.append({"type": "tool_use", "id": call_id, "name": name, "input": json.loads(text)})
        else:
            content.append({"type": _BLOCKS[kind][0], _BLOCKS[kind][1]: text})
    return {
        "id": "msg_1",
        "type": "message",
        "role": "assistant",
        "model": "served",
        "content": content,
        "stop_reason": reason,
        "stop_sequence": None,
        "usage": _USAGE | _END,
        **more,
    }


def event(kind: str, **more: Any) -> bytes:
    return sse({"type": kind, **more}, kind)


def events(parts: Parts, reason: str = "end_turn", **more: Any) -> list[bytes]:
    usage = _USAGE | {"output_tokens": 1}
    made = [event("message_start", message={"id": "msg_1", "content": [], "usage": usage})]
    for index, (kind, text, call_id, name) in enumerate(parts):
        if kind == "tool_call":
            block: Any = {"type": "tool_use", "id": call_id, "name": name, "input": {}}
            # What takes no arguments gets no fragment, or an empty one.
            fragments = pieces_of(text) if text != "{}" else [""]
            deltas: list[Any] = [{"type": "input_json_delta", "partial_json": piece} for piece in fragments]
        else:
            block_type, held, delta = _BLOCKS[kind]
            block = {"type": block_type, held: ""}
            deltas = [{"type": delta, held: piece} for piece in pieces_of(text)]
        made.append(event("content_block_start", index=index, content_block=block))
        made.append(event("ping"))
        made += [event("content_block_delta", index=index, delta=delta) for delta in deltas]
        if kind == "reasoning":
            signed = {"type": "signature_delta", "signature": "c2ln"}
            made.append(event("content_block_delta", index=index, delta=signed))
        made.append(event("content_block_stop", index=index))
    end = {"stop_reason": reason, "stop_sequence": None, **more}
    return [*made, event("message_delta", delta=end, usage=_END), event("message_stop")]


def error(kind: str, message: str) -> Any:
    return {"type": "error", "error": {"type": kind, "message": message}, "request_id": "req_1"}


WIRE = Wire(
    format="anthropic",
    adapter=AnthropicMessages,
    base="",
    path="/v1/messages",
    stream_path="/v1/messages",
    credentials={"x-api-key": KEY, "anthropic-version": "2023-06-01"},
    reader=lambda _: MessagesReader(),
    plain=plain,
    events=events,
    error=error,
    error_event=lambda kind, message: sse(error(kind, message), "error"),
    reasons={"end_turn": "stop", "max_tokens": "length", "tool_use": "tool_calls", "refusal": "refusal"},
    tool_reason="tool_use",
    heartbeat=event("ping"),
    stop_string=("stop_sequence", {"stop_sequence": "END"}),
    bases={"": "/v1/messages", "/v1/": "/v1/messages"},
)
