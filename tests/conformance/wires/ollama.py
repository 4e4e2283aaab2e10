"""Answers of Ollama's own chat."""

import json
from typing import Any

from conformance.upstream import KEY
from conformance.wires.wire import Parts, Wire, pieces_of

from penstock.completion import Usage
from penstock.errors import ProviderOverloaded
from penstock.providers.ndjson import NDJSONDecoder
from penstock.providers.ollama import ChatReader, OllamaChat

_FIELDS = {"text": "content", "reasoning": "thinking"}
_CREATED = {"model": "served", "created_at": "2025-10-26T17:15:24.097767Z"}
COUNTS = {"total_duration": 174560334, "load_duration": 101397084, "prompt_eval_count": 19, "eval_count": 7}


def call(arguments: str, call_id: str | None, name: str | None, index: int = 0) -> Any:
    return {"id": call_id, "function": {"index": index, "name": name, "arguments": json.loads(arguments)}}


def chunk(done: bool = False, **message: Any) -> dict[str, Any]:
    return {**_CREATED, "message": {"role": "assistant", "content": "", **message}, "done": done}


def line(value: Any) -> bytes:
    return json.dumps(value, ensure_ascii=False).encode() + b"\n"


def plain(parts: Parts, reason: str = "stop", **more: Any) -> Any:
    parts = list(parts)
    message: dict[str, Any] = {_FIELDS[kind]: text for kind, text, *_ in parts if kind != "tool_call"}
    calls = [part[1:] for part in parts if part[0] == "tool_call"]
    if calls:
        message["tool_calls"] = [call(*part, index) for index, part in enumerate(calls)]
    return chunk(True, **message) | {"done_reason": reason, **COUNTS, **more}


def events(parts: Parts, reason: str = "stop", **more: Any) -> list[bytes]:
    made = [line(chunk())]
    calls = []
    for kind, text, *named in parts:
        if kind == "tool_call":
            calls.append((text, *named))
        else:
            made += [line(chunk(**{_FIELDS[kind]: piece})) for piece in pieces_of(text)]
    # The first call comes alone, the others together.
    for some in (calls[:1], calls[1:]):
        if some:
            made.append(line(chunk(tool_calls=[call(*each, index) for index, each in enumerate(some)])))
    return [*made, line(chunk(True) | {"done_reason": reason, **COUNTS, **more})]


WIRE = Wire(
    format="ollama",
    adapter=OllamaChat,
    base="",
    path="/api/chat",
    stream_path="/api/chat",
    credentials={"authorization": f"Bearer {KEY}"},
    reader=lambda _: ChatReader(),
    decoder=NDJSONDecoder,
    stream_type="application/x-ndjson",
    heard=lambda parts: sorted(parts, key=lambda part: part[0] == "tool_call"),
    plain=plain,
    events=events,
    error=lambda _, message: {"error": message},
    error_event=lambda _, message: line({"error": message}),
    untyped_error=ProviderOverloaded,
    reasons={"stop": "stop", "length": "length"},
    tool_reason="stop",
    end_mark=False,
    heartbeat=line(chunk()),
    bases={"": "/api/chat", "/": "/api/chat", "/api": "/api/chat"},
    usage=Usage(input_tokens=19, output_tokens=7),
)
