"""Answers of Cohere's chat, version 2."""

from typing import Any

from conformance.upstream import KEY
from conformance.wires.wire import Parts, Wire, pieces_of, sse

from penstock.completion import Usage
from penstock.errors import ProviderOverloaded
from penstock.providers.cohere import ChatReader, CohereChat

USAGE = {
    "billed_units": {"input_tokens": 5.0, "output_tokens": 7.0},
    "tokens": {"input_tokens": 19.0, "output_tokens": 7.0},
    "cached_tokens": 8.0,
}
_FIELDS = {"text": "text", "reasoning": "thinking"}


def _call(arguments: str, call_id: str | None, name: str | None) -> Any:
    return {"id": call_id, "type": "function", "function": {"name": name, "arguments": arguments}}


def plain(parts: Parts, reason: str = "COMPLETE", **more: Any) -> Any:
    parts = list(parts)
    message: dict[str, Any] = {"role": "assistant"}
    content = [{"type": _FIELDS[kind], _FIELDS[kind]: text} for kind, text, *_ in parts if kind != "tool_call"]
    if content:
        message["content"] = content
    calls = [_call(*part[1:]) for part in parts if part[0] == "tool_call"]
    if calls:
        message["tool_calls"] = calls
    return {"id": "reply-1", "finish_reason": reason, "message": message, "usage": USAGE, **more}


def event(kind: str, message: Any = None, index: int | None = None, **more: Any) -> bytes:
    """One event; what it says of the message, and which of its contents or calls it is about."""
    value: dict[str, Any] = {"type": kind}
    value |= {} if index is None else {"index": index}
    value |= {} if message is None else {"delta": {"message": message}}
    return sse(value | more, kind)


def end(reason: str = "COMPLETE", **more: Any) -> bytes:
    return event("message-end", delta={"finish_reason": reason, "usage": USAGE} | more)


def events(parts: Parts, reason: str = "COMPLETE", **more: Any) -> list[bytes]:
    opened = {"role": "assistant", "content": [], "tool_plan": "", "tool_calls": [], "citations": []}
    made = [event("message-start", opened, id="reply-1")]
    contents, calls = [], []
    for kind, text, *named in parts:
        if kind == "tool_call":
            calls.append((text, *named))
        else:
            contents.append((_FIELDS[kind], text))
    for index, (held, text) in enumerate(contents):
        made.append(event("content-start", {"content": {"type": held, held: ""}}, index))
        made += [event("content-delta", {"content": {held: piece}}, index) for piece in pieces_of(text)]
        made.append(event("content-end", index=index))
    for index, (arguments, call_id, name) in enumerate(calls):
        made.append(event("tool-call-start", {"tool_calls": _call("", call_id, name)}, index))
        # What takes no arguments gets no fragment.
        fragments = pieces_of(arguments) if arguments != "{}" else []
        for piece in fragments:
            made.append(event("tool-call-delta", {"tool_calls": {"function": {"arguments": piece}}}, index))
        made.append(event("tool-call-end", index=index))
    return [*made, end(reason, **more), b"data: [DONE]\n\n"]


WIRE = Wire(
    format="cohere",
    adapter=CohereChat,
    base="",
    path="/v2/chat",
    stream_path="/v2/chat",
    credentials={"authorization": f"Bearer {KEY}"},
    reader=ChatReader,
    heard=lambda parts: sorted(parts, key=lambda part: part[0] == "tool_call"),
    plain=plain,
    events=events,
    error=lambda kind, message: {"id": kind, "message": message},
    error_event=lambda _, message: end("ERROR", error=message),
    untyped_error=ProviderOverloaded,
    reasons={"COMPLETE": "stop", "MAX_TOKENS": "length", "TOOL_CALL": "tool_calls", "STOP_SEQUENCE": "stop_sequence"},
    tool_reason="TOOL_CALL",
    model=None,
    heartbeat=b": still here\n\n",
    stop_string=("STOP_SEQUENCE", {}),
    bases={"": "/v2/chat", "/v2/": "/v2/chat"},
    usage=Usage(input_tokens=19, output_tokens=7, cached_tokens=8),
)
