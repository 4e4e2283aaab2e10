"""Anthropic's messages."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from penstock.completion import (
    CompletionEvent,
    CompletionRequest,
    CompletionResult,
    Finished,
    PartDelta,
    PartKind,
    PartStarted,
    ResultBuilder,
    Usage,
)
from penstock.completion.encoding import loads
from penstock.completion.events import FinishReason
from penstock.providers.anthropic_messages_request import build
from penstock.providers.exchange import StreamReader, WireProvider, encode
from penstock.providers.failures import ErrorFrame
from penstock.providers.framing import WireEvent

#: the version whose requests still have sampling parameters
API_VERSION = "2023-06-01"

#: a word that is not here ends the answer as `end_turn` does
FINISH_REASONS: dict[str, FinishReason] = {
    "end_turn": "stop",
    "pause_turn": "stop",
    "max_tokens": "length",
    "model_context_window_exceeded": "length",
    "stop_sequence": "stop_sequence",
    "tool_use": "tool_calls",
    "refusal": "refusal",
}

#: the block types that are parts, and the field that holds what they start with. Others (results of the vendor's own
#: tools) have no neutral form and are passed over.
_KINDS: dict[str, tuple[PartKind, str]] = {
    "text": ("text", "text"),
    "thinking": ("reasoning", "thinking"),
    "redacted_thinking": ("reasoning", ""),
    "tool_use": ("tool_call", ""),
}
#: a delta's type and the field that holds its text; citations are passed over
_DELTAS = {"text_delta": "text", "thinking_delta": "thinking", "input_json_delta": "partial_json"}


class AnthropicMessages(WireProvider):
    """The adapter of wire format `anthropic`: `POST {base_url}/v1/messages`; a `/v1` at the base URL's end is kept."""

    seal_mark = "anthropic"

    def _path(self, upstream_model: str, *, stream: bool) -> str:  # noqa: ARG002 — see WireProvider
        return "/messages" if self.config.base_url.endswith("/v1") else "/v1/messages"

    def _credentials(self, key: str) -> dict[str, str]:
        return {"anthropic-version": API_VERSION} | ({"x-api-key": key} if key else {})

    def _body(self, request: CompletionRequest, upstream_model: str, *, stream: bool) -> dict[str, Any]:
        return build(request, upstream_model, stream=stream, max_output=self._max_output.get(upstream_model))

    def _answer(self, body: bytes, request: CompletionRequest) -> CompletionResult:  # noqa: ARG002 — see WireProvider
        return read_answer(loads(body))

    def _reader(self, request: CompletionRequest) -> StreamReader:  # noqa: ARG002 — see WireProvider
        return MessagesReader()

    def _tells_stop(self, request: CompletionRequest, upstream_model: str) -> bool:  # noqa: ARG002 — see WireProvider
        return True


def read_answer(answer: Any) -> CompletionResult:
    """A plain answer.

    Raises:
        ErrorFrame: it holds an error.
        ValueError: it is not whole.
    """
    if answer.get("type") == "error" or answer.get("error"):
        raise ErrorFrame(answer.get("error"))
    reader = MessagesReader()
    builder = ResultBuilder()
    for index, block in enumerate(answer["content"]):
        for event in (*reader.start(index, block), *reader.stop(index)):
            builder.add(event)
    reader.end(answer, answer.get("usage"))
    builder.add(reader.finish())
    builder.upstream_model = answer.get("model")
    return builder.build()


@dataclass(slots=True)
class _Block:
    """An open block: its part, and for a tool call the input it began with, until fragments replace it."""

    part: int
    input: dict[str, Any] | None = None


class MessagesReader:
    """Reads the events of one stream."""

    def __init__(self) -> None:
        self.ended = False
        self._blocks: dict[int, _Block] = {}
        self._parts = 0
        self._usage: dict[str, Any] = {}
        self._finish_reason: FinishReason | None = None
        self._stop_sequence: str | None = None

    def read(self, event: WireEvent) -> Iterator[CompletionEvent]:
        """See `StreamReader.read`. Events of other types (`ping`, and what may be added) are passed over."""
        data = event.data.strip()
        if not data:
            return
        value = loads(data)
        match value.get("type"):
            case "message_start":
                self._count(value["message"].get("usage"))
            case "content_block_start":
                yield from self.start(value["index"], value["content_block"])
            case "content_block_delta":
                yield from self._delta(value["index"], value["delta"])
            case "content_block_stop":
                yield from self.stop(value["index"])
            case "message_delta":
                self.end(value["delta"], value.get("usage"))
            case "message_stop":
                self.ended = True
            case "error":
                raise ErrorFrame(value.get("error"))

    def start(self, index: int, block: dict[str, Any]) -> Iterator[CompletionEvent]:
        """A block begins; in a plain answer it is whole."""
        if block["type"] not in _KINDS:
            return
        kind, held = _KINDS[block["type"]]
        opened = self._blocks[index] = _Block(self._parts)
        self._parts += 1
        if kind == "tool_call":
            opened.input = block.get("input") or {}
            yield PartStarted(opened.part, kind, 0, block["id"], block["name"])
            return
        redacted = block["type"] == "redacted_thinking"
        yield PartStarted(opened.part, kind, 0, None, "redacted" if redacted else None)
        if block.get(held):
            yield PartDelta(opened.part, block[held])
        sealed = block.get("data" if redacted else "signature")
        if sealed:
            yield PartDelta(opened.part, "", (), sealed)

    def stop(self, index: int) -> Iterator[CompletionEvent]:
        """A block ends. A tool call without fragments has the input it began with: `{}` where it takes none."""
        opened = self._blocks.pop(index, None)
        if opened is not None and opened.input is not None:
            yield PartDelta(opened.part, encode(opened.input).decode())

    def end(self, said: dict[str, Any], usage: dict[str, Any] | None) -> None:
        """The message says why it ends; its last counts replace the ones it began with."""
        self._count(usage)
        reason = said.get("stop_reason")
        if reason:
            self._finish_reason = FINISH_REASONS.get(reason, "stop")
            self._stop_sequence = said.get("stop_sequence")

    def finish(self) -> Finished:
        """See `StreamReader.finish`."""
        if self._finish_reason is None:
            raise ValueError("it ended without a stop reason")
        return Finished((self._finish_reason,), read_usage(self._usage), self._stop_sequence)

    def _delta(self, index: int, delta: dict[str, Any]) -> Iterator[CompletionEvent]:
        opened = self._blocks.get(index)
        if opened is not None and delta["type"] == "signature_delta" and delta.get("signature"):
            yield PartDelta(opened.part, "", (), delta["signature"])
            return
        text = delta.get(_DELTAS.get(delta["type"], ""))
        if opened is not None and text:
            opened.input = None
            yield PartDelta(opened.part, text)

    def _count(self, usage: dict[str, Any] | None) -> None:
        self._usage |= {name: value for name, value in (usage or {}).items() if value is not None}


def read_usage(wire: dict[str, Any]) -> Usage:
    """The counts. The vendor's `input_tokens` leaves out what was read from or written to the cache."""
    read = wire.get("cache_read_input_tokens") or 0
    written = wire.get("cache_creation_input_tokens") or 0
    return Usage(
        input_tokens=(wire.get("input_tokens") or 0) + read + written,
        output_tokens=wire.get("output_tokens") or 0,
        cached_tokens=read,
        cache_write_tokens=written,
        reasoning_tokens=(wire.get("output_tokens_details") or {}).get("thinking_tokens") or 0,
    )
