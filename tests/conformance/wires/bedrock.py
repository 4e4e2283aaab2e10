"""Answers of Amazon Bedrock's Converse, with a bearer key; what is particular to signed calls has tests of its own."""

import json
import struct
import zlib
from typing import Any

from conformance.upstream import KEY
from conformance.wires.wire import Parts, Wire, pieces_of

from penstock.completion import Usage
from penstock.providers.aws_event_stream import EventStreamDecoder
from penstock.providers.bedrock import Bedrock
from penstock.providers.bedrock_answers import ConverseReader

USAGE = {
    "inputTokens": 9,
    "outputTokens": 7,
    "totalTokens": 26,
    "cacheReadInputTokens": 8,
    "cacheWriteInputTokens": 2,
    "cacheDetails": [],
    "serverToolUsage": {},
}


def message(headers: dict[str, str], payload: bytes) -> bytes:
    """One message of the event stream; its headers are all strings."""
    coded = b"".join(
        bytes([len(name)]) + name.encode() + b"\x07" + struct.pack(">H", len(value.encode())) + value.encode()
        for name, value in headers.items()
    )
    prelude = struct.pack(">II", 16 + len(coded) + len(payload), len(coded))
    prelude += struct.pack(">I", zlib.crc32(prelude))
    whole = prelude + coded + payload
    return whole + struct.pack(">I", zlib.crc32(whole))


def event(name: str, **fields: Any) -> bytes:
    headers = {":event-type": name, ":content-type": "application/json", ":message-type": "event"}
    # The vendor pads its events, so that their lengths do not tell what is in them.
    return message(headers, json.dumps(fields | {"p": "abcdefghij"}, ensure_ascii=False).encode())


def exception(kind: str, said: str) -> bytes:
    headers = {":message-type": "exception", ":exception-type": kind, ":content-type": "application/json"}
    return message(headers, json.dumps({"message": said}).encode())


def plain(parts: Parts, reason: str = "end_turn", **more: Any) -> Any:
    content: list[Any] = []
    for kind, text, call_id, name in parts:
        if kind == "tool_call":
            content.append({"toolUse": {"toolUseId": call_id, "name": name, "input": json.loads(text)}})
        elif kind == "reasoning":
            content.append({"reasoningContent": {"reasoningText": {"signature": "c2ln", "text": text}}})
        else:
            content.append({"text": text})
    return {
        "output": {"message": {"role": "assistant", "content": content}},
        "stopReason": reason,
        "usage": USAGE,
        "metrics": {"latencyMs": 5},
        **more,
    }


def events(parts: Parts, reason: str = "end_turn", **more: Any) -> list[bytes]:
    made = [event("messageStart", role="assistant")]
    for index, (kind, text, call_id, name) in enumerate(parts):
        if kind == "tool_call":
            start = {"toolUse": {"toolUseId": call_id, "name": name}}
            made.append(event("contentBlockStart", contentBlockIndex=index, start=start))
            # What takes no arguments gets no fragment, or an empty one.
            deltas: list[Any] = [{"toolUse": {"input": piece}} for piece in (pieces_of(text) if text != "{}" else [""])]
        elif kind == "reasoning":
            deltas = [{"reasoningContent": {"text": piece}} for piece in pieces_of(text)]
            deltas.append({"reasoningContent": {"signature": "c2ln"}})
        else:
            deltas = [{"text": piece} for piece in pieces_of(text)]
        made += [event("contentBlockDelta", contentBlockIndex=index, delta=delta) for delta in deltas]
        made.append(event("contentBlockStop", contentBlockIndex=index))
    stop = event("messageStop", stopReason=reason, **more)
    return [*made, stop, event("metadata", usage=USAGE, metrics={"latencyMs": 5})]


def error(kind: str, said: str) -> Any:
    return {"__type": f"com.amazon.coral.service#{kind}", "message": said}


WIRE = Wire(
    format="bedrock",
    adapter=Bedrock,
    base="",
    path="/model/served/converse",
    stream_path="/model/served/converse-stream",
    credentials={"authorization": f"Bearer {KEY}"},
    reader=lambda _: ConverseReader(),
    decoder=EventStreamDecoder,
    plain=plain,
    events=events,
    error=error,
    error_event=exception,
    reasons={
        "end_turn": "stop",
        "max_tokens": "length",
        "model_context_window_exceeded": "length",
        "tool_use": "tool_calls",
        "content_filtered": "content_filter",
        "guardrail_intervened": "content_filter",
    },
    tool_reason="tool_use",
    ends=b'"stopReason"',
    model=None,
    heartbeat=None,
    lines=False,
    stop_string=("stop_sequence", {"additionalModelResponseFields": {"stop_sequence": "END"}}),
    bases={"": "/model/served/converse", "/": "/model/served/converse"},
    usage=Usage(input_tokens=19, output_tokens=7, cached_tokens=8, cache_write_tokens=2),
    stream_type="application/vnd.amazon.eventstream",
)
