"""What the conformance suite needs to know of a wire format, and what all of them are asked to say."""

import json
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from conformance.upstream import Answer, stream

from penstock.completion import CompletionRequest, Message, Text, Usage
from penstock.errors import ProviderError
from penstock.providers.exchange import StreamReader, WireProvider
from penstock.providers.framing import Decoder
from penstock.providers.sse import SSEDecoder

#: (kind, text, id, name) of a part of an answer; a tool call's text is its JSON arguments
Said = tuple[str, str, str | None, str | None]
Parts = Iterable[Said]

TEXT: list[Said] = [("text", "Hello there", None, None)]
MANY: list[Said] = [
    ("reasoning", "Let me\nsee…", None, None),
    ("text", 'I ask “both”:\u2028\u2029\x85 👩‍👩‍👧 é \r\n\t\\"', None, None),
    ("tool_call", '{"city":"Paris"}', "call_a", "weather"),
    ("tool_call", '{"city":"Łódź"}', "call_b", "weather"),
    ("tool_call", "{}", "call_c", "now"),
]

#: the usage that every sample reports, in a format that knows all of its counts
USAGE = Usage(input_tokens=19, output_tokens=7, cached_tokens=8, cache_write_tokens=2, reasoning_tokens=3)


@dataclass(frozen=True, kw_only=True)
class Wire:
    """One wire format: its adapter, and the same answers in its own words.

    `plain` and `events` make a plain answer and the pieces of a stream (one event each, the last being the end mark
    where the format has one) of parts, a reason and fields that come on top of it.
    """

    format: str
    adapter: type[WireProvider]
    #: what follows the server's address in the base URL, and where calls arrive, plain and streamed
    base: str
    path: str
    stream_path: str
    credentials: Mapping[str, str]
    plain: Callable[..., Any]
    events: Callable[..., list[bytes]]
    #: (type, message) → the error envelope; and the event that carries it in a stream
    error: Callable[[str, str], Any]
    error_event: Callable[[str, str], bytes]
    #: the reasons of this format → the neutral ones; and its reason for an answer that calls tools
    reasons: Mapping[str, str]
    tool_reason: str
    #: whether its streams are made of lines
    lines: bool = True
    #: what stands in the event that says why the answer ended, and in none before it
    ends: bytes = b'_reason": "'
    #: whether a stream goes on, after the answer's end, to a mark of its own
    end_mark: bool = True
    #: whether nothing but the connection's end says that a stream is over
    ends_with_connection: bool = False
    #: what an error inside an answer is in a format whose errors have no type, None where they have one
    untyped_error: type[ProviderError] | None = None
    #: the model that an answer names, None where the format has no place for it
    model: str | None = "served"
    #: what the format says in a pause, None where it has nothing to say
    heartbeat: bytes | None
    #: the reason and the fields that tell which stop string matched, None where the format does not tell
    stop_string: tuple[str, Mapping[str, Any]] | None = None
    #: base URLs as people write them → the path that calls then arrive at
    bases: Mapping[str, str] = field(default_factory=dict)
    usage: Usage = USAGE
    stream_type: str = "text/event-stream"
    #: what one hears of parts that were said: their order and their ids, where the format does not keep them
    heard: Callable[[list[Said]], list[Said]] = list
    #: readers of one stream's events and framing, as the adapter makes them
    reader: Callable[[CompletionRequest], StreamReader]
    decoder: Callable[[], Decoder] = SSEDecoder
    #: fields of a provider's configuration that this format needs beside the key
    config: Mapping[str, Any] = field(default_factory=dict)


def streaming(wire: Wire, *pieces: bytes, **options: Any) -> Answer:
    """A stream of this format in these pieces."""
    return stream(*pieces, content_type=wire.stream_type, **options)


def unmarked(wire: Wire) -> list[bytes]:
    """A streamed text that stops where the answer is whole."""
    events = wire.events(TEXT)
    return events[:-1] if wire.end_mark else events


def ask(**fields: Any) -> CompletionRequest:
    return CompletionRequest(model="public", messages=(Message("user", (Text("Hi"),)),), **fields)


def pieces_of(text: str, size: int = 3) -> list[str]:
    return [text[at : at + size] for at in range(0, len(text), size)]


def sse(value: Any, name: str | None = None) -> bytes:
    line = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
    return (f"event: {name}\n" if name else "").encode() + f"data: {line}\n\n".encode()
