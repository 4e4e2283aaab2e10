"""A server that answers with exact bytes, and one set of answers in the form of each wire format."""

import asyncio
import json
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass, field
from itertools import zip_longest
from typing import Any

from penstock.completion import CompletionRequest, Message, Text, Usage
from penstock.providers.anthropic_messages import AnthropicMessages, MessagesReader
from penstock.providers.exchange import WireProvider
from penstock.providers.openai_chat import ChatReader, OpenAIChat

KEY = "sk-a-secret-of-ours-0123456789"

Answer = Callable[["Exchange"], Awaitable[None]]


@dataclass
class Exchange:
    """One request as it was on the wire, and the way back."""

    path: str
    headers: dict[str, str]
    body: Any
    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter

    async def send(self, *pieces: bytes) -> None:
        """Each piece leaves in a segment of its own, as far as the machine lets it."""
        for piece in pieces:
            self.writer.write(piece)
            await self.writer.drain()
            await asyncio.sleep(0)

    async def chunks(self, *pieces: bytes) -> None:
        await self.send(*(b"%x\r\n%s\r\n" % (len(piece), piece) for piece in pieces if piece))

    async def gone(self) -> None:
        """Wait until the client has closed its end; with bytes of ours unread, that is a reset."""
        try:
            assert await self.reader.read(1) == b""
        except ConnectionResetError:
            return


@dataclass
class Upstream:
    """Answers the requests in turn, the last answer for ever."""

    answers: list[Answer] = field(default_factory=list)
    requests: list[Exchange] = field(default_factory=list)
    connections: int = 0
    port: int = 0

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        try:
            while request := await _request(reader, writer):
                self.requests.append(request)
                await self.answers[min(len(self.requests), len(self.answers)) - 1](request)
                if writer.is_closing():
                    return
        except ConnectionError:
            return
        finally:
            writer.close()


async def _request(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> Exchange | None:
    try:
        head = await reader.readuntil(b"\r\n\r\n")
    except asyncio.IncompleteReadError:
        return None
    first, *lines = head.decode("latin-1").split("\r\n")
    headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines if line)}
    body = await reader.readexactly(int(headers.get("content-length", 0)))
    return Exchange(first.split(" ")[1], headers, json.loads(body), reader, writer)


def whole(body: Any, status: int = 200, **headers: str) -> Answer:
    """An answer with its length; a body that is not bytes goes as JSON."""
    content = body if isinstance(body, bytes) else json.dumps(body, ensure_ascii=False).encode()
    lines = {"content-type": "application/json", "content-length": str(len(content))}
    lines |= {name.replace("_", "-"): value for name, value in headers.items()}

    async def answer(exchange: Exchange) -> None:
        await exchange.send(head(lines, status) + content)

    return answer


def stream(*pieces: bytes, end: bytes = b"0\r\n\r\n", then: Answer | None = None, **headers: str) -> Answer:
    """An event stream in these pieces; with an `end` that is not HTTP's, it is cut there."""

    async def answer(exchange: Exchange) -> None:
        lines = {"content-type": "text/event-stream", "transfer-encoding": "chunked"}
        await exchange.send(head(lines | {name.replace("_", "-"): value for name, value in headers.items()}))
        await exchange.chunks(*pieces)
        if then is not None:
            await then(exchange)
        elif end:
            await exchange.send(end)
        else:
            exchange.writer.close()

    return answer


async def never(exchange: Exchange) -> None:
    """No answer, until the client has enough."""
    await exchange.gone()
    exchange.writer.close()


def head(lines: dict[str, str], status: int = 200) -> bytes:
    return b"".join([b"HTTP/1.1 %d Said\r\n" % status, *(f"{k}: {v}\r\n".encode() for k, v in lines.items()), b"\r\n"])


@dataclass(frozen=True)
class Wire:
    """One wire format: its adapter, and the same answers in its own words."""

    format: str
    adapter: type[WireProvider]
    reader: Callable[[Any], Any]
    base: str
    path: str
    #: (kind, text, id, name) of each part → a plain answer
    plain: Callable[..., Any]
    #: the same → the pieces of a stream, one event each
    events: Callable[..., list[bytes]]
    #: (type, message) → the error envelope, and the event that carries it in a stream
    error: Callable[[str, str], Any]
    error_event: Callable[[str, str], bytes]
    #: the reasons of this format → the neutral ones
    reasons: dict[str, str]
    heartbeat: bytes
    #: the usage that every sample reports
    usage: Usage


Parts = Iterable[tuple[str, str, str | None, str | None]]

TEXT: Parts = [("text", "Hello there", None, None)]
MANY: Parts = [
    ("reasoning", "Let me\nsee…", None, None),
    ("text", 'I ask “both”:\u2028\u2029\x85 👩‍👩‍👧 é \r\n\t\\"', None, None),
    ("tool_call", '{"city":"Paris"}', "call_a", "weather"),
    ("tool_call", '{"city":"Łódź"}', "call_b", "weather"),
    ("tool_call", "{}", "call_c", "now"),
]


def ask(**fields: Any) -> CompletionRequest:
    return CompletionRequest(model="public", messages=(Message("user", (Text("Hi"),)),), **fields)


def pieces_of(text: str, size: int = 3) -> list[str]:
    return [text[at : at + size] for at in range(0, len(text), size)]


def data(value: Any, name: str | None = None) -> bytes:
    line = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
    return (f"event: {name}\n" if name else "").encode() + f"data: {line}\n\n".encode()


OPENAI_USAGE = {
    "prompt_tokens": 19,
    "completion_tokens": 7,
    "total_tokens": 26,
    "prompt_tokens_details": {"cached_tokens": 8, "cache_write_tokens": 2, "audio_tokens": None},
    "completion_tokens_details": {"reasoning_tokens": 3},
}
_FIELDS = {"text": "content", "reasoning": "reasoning_content", "refusal": "refusal"}


def _openai_call(call: tuple[str, str, str | None, str | None]) -> Any:
    _, arguments, call_id, name = call
    return {"id": call_id, "type": "function", "function": {"name": name, "arguments": arguments}}


def openai_plain(parts: Parts, reason: str = "stop", **more: Any) -> Any:
    parts = list(parts)
    message: dict[str, Any] = {"role": "assistant", "content": None, "refusal": None}
    message |= {_FIELDS[kind]: text for kind, text, *_ in parts if kind != "tool_call"}
    calls = [_openai_call(part) for part in parts if part[0] == "tool_call"]
    if calls:
        message["tool_calls"] = calls
    choice = {"index": 0, "message": message, "logprobs": None, "finish_reason": reason, **more}
    return {
        "id": "chatcmpl-1",
        "object": "chat.completion",
        "created": 1,
        "model": "served",
        "choices": [choice],
        "usage": OPENAI_USAGE,
    }


def openai_chunk(delta: Any, reason: str | None = None, index: int = 0, **more: Any) -> bytes:
    choices = [{"index": index, "delta": delta, "finish_reason": reason, **more}]
    return data({"id": "chatcmpl-1", "object": "chat.completion.chunk", "choices": choices, "usage": None})


def openai_events(parts: Parts, reason: str = "stop", **more: Any) -> list[bytes]:
    made = [openai_chunk({"role": "assistant", "content": "", "refusal": None})]
    calls = []
    for kind, text, *named in parts:
        if kind == "tool_call":
            calls.append((text, *named))
        else:
            made += [openai_chunk({_FIELDS[kind]: piece}) for piece in pieces_of(text)]
    for index, (_, call_id, name) in enumerate(calls):
        opened = {"index": index, "id": call_id, "type": "function", "function": {"name": name, "arguments": ""}}
        made.append(openai_chunk({"tool_calls": [opened]}))
    # Parallel calls grow in turns.
    for turn in zip_longest(*(pieces_of(arguments) for arguments, *_ in calls)):
        grown = [{"index": index, "function": {"arguments": piece}} for index, piece in enumerate(turn) if piece]
        made.append(openai_chunk({"tool_calls": grown}))
    usage = data({"id": "chatcmpl-1", "choices": [], "usage": OPENAI_USAGE})
    return [*made, openai_chunk({}, reason, **more), usage, b"data: [DONE]\n\n"]


def openai_error(kind: str, message: str) -> Any:
    return {"error": {"message": message, "type": kind, "param": None, "code": kind}}


ANTHROPIC_USAGE = {"input_tokens": 9, "cache_read_input_tokens": 8, "cache_creation_input_tokens": 2}
ANTHROPIC_END = {"output_tokens": 7, "output_tokens_details": {"thinking_tokens": 3}, "server_tool_use": None}
_BLOCKS = {"text": ("text", "text", "text_delta"), "reasoning": ("thinking", "thinking", "thinking_delta")}


def anthropic_plain(parts: Parts, reason: str = "end_turn", **more: Any) -> Any:
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
        "usage": ANTHROPIC_USAGE | ANTHROPIC_END,
        **more,
    }


def anthropic_event(kind: str, **more: Any) -> bytes:
    return data({"type": kind, **more}, kind)


def anthropic_events(parts: Parts, reason: str = "end_turn", **more: Any) -> list[bytes]:
    usage = ANTHROPIC_USAGE | {"output_tokens": 1}
    made = [anthropic_event("message_start", message={"id": "msg_1", "content": [], "usage": usage})]
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
        made.append(anthropic_event("content_block_start", index=index, content_block=block))
        made.append(anthropic_event("ping"))
        made += [anthropic_event("content_block_delta", index=index, delta=delta) for delta in deltas]
        if kind == "reasoning":
            signed = {"type": "signature_delta", "signature": "c2ln"}
            made.append(anthropic_event("content_block_delta", index=index, delta=signed))
        made.append(anthropic_event("content_block_stop", index=index))
    end = {"stop_reason": reason, "stop_sequence": None, **more}
    return [*made, anthropic_event("message_delta", delta=end, usage=ANTHROPIC_END), anthropic_event("message_stop")]


def anthropic_error(kind: str, message: str) -> Any:
    return {"type": "error", "error": {"type": kind, "message": message}, "request_id": "req_1"}


USAGE = Usage(input_tokens=19, output_tokens=7, cached_tokens=8, cache_write_tokens=2, reasoning_tokens=3)

WIRES = [
    Wire(
        format="openai",
        adapter=OpenAIChat,
        reader=ChatReader,
        base="/v1",
        path="/v1/chat/completions",
        plain=openai_plain,
        events=openai_events,
        error=openai_error,
        error_event=lambda kind, message: data(openai_error(kind, message)),
        reasons={"stop": "stop", "length": "length", "tool_calls": "tool_calls", "content_filter": "content_filter"},
        heartbeat=b": still here\n\n",
        usage=USAGE,
    ),
    Wire(
        format="anthropic",
        adapter=AnthropicMessages,
        reader=lambda _: MessagesReader(),
        base="",
        path="/v1/messages",
        plain=anthropic_plain,
        events=anthropic_events,
        error=anthropic_error,
        error_event=lambda kind, message: data(anthropic_error(kind, message), "error"),
        reasons={"end_turn": "stop", "max_tokens": "length", "tool_use": "tool_calls", "refusal": "refusal"},
        heartbeat=anthropic_event("ping"),
        usage=USAGE,
    ),
]
