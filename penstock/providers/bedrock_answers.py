"""The answers of Bedrock's Converse and ConverseStream, and its errors."""

import base64
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from typing import Any

from penstock.completion import (
    CompletionEvent,
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
from penstock.providers.exchange import encode
from penstock.providers.failures import ErrorFrame, VendorError
from penstock.providers.framing import WireEvent

#: a word that is not here ends the answer as `end_turn` does
FINISH_REASONS: dict[str, FinishReason] = {
    "end_turn": "stop",
    "max_tokens": "length",
    "model_context_window_exceeded": "length",
    "stop_sequence": "stop_sequence",
    "tool_use": "tool_calls",
    "content_filtered": "content_filter",
    "guardrail_intervened": "content_filter",
    "refusal": "refusal",
}
#: the model wrote what the vendor could not read: not an end of the answer
_BROKEN_OFF = {"malformed_model_output", "malformed_tool_use"}


def read_answer(answer: Any) -> CompletionResult:
    """A plain answer.

    Raises:
        ErrorFrame: it holds an error.
        ValueError: it is not whole.
    """
    if "__type" in answer or "Output" in answer:
        raise ErrorFrame(error_of(answer))
    reader = ConverseReader()
    builder = ResultBuilder()
    # A guardrail that intervened before the model said anything may leave no message.
    message = answer["output"].get("message") or {}
    for index, block in enumerate(message.get("content") or ()):
        for event in reader.block(index, block):
            builder.add(event)
    for event in reader.end(answer):
        builder.add(event)
    reader.count(answer.get("usage"))
    builder.add(reader.finish())
    router = (answer.get("trace") or {}).get("promptRouter") or {}
    builder.upstream_model = router.get("invokedModelId")
    return builder.build()


@dataclass(slots=True)
class _Block:
    """An open block: its part, the pieces of its seal, and whether a tool call has been given its input."""

    part: int
    kind: PartKind
    seal: list[str] = field(default_factory=list)
    redacted: bool = False
    empty: bool = True


class ConverseReader:
    """Reads the events of one stream.

    Blocks that are texts or thoughts begin with their first delta; only calls of tools are announced. Blocks of other
    kinds (pictures, what the vendor's own tools are asked and answer, citations) have no neutral form and are passed
    over.
    """

    def __init__(self) -> None:
        self.ended = False
        self._blocks: dict[int, _Block] = {}
        self._parts = 0
        self._usage = Usage()
        self._finish_reason: FinishReason | None = None
        self._stop_sequence: str | None = None

    def read(self, event: WireEvent) -> Iterator[CompletionEvent]:
        """See `StreamReader.read`. Events of other names are passed over."""
        match event.name:
            case "contentBlockStart":
                value = loads(event.data)
                yield from self._announced(value["contentBlockIndex"], value.get("start") or {})
            case "contentBlockDelta":
                value = loads(event.data)
                yield from self._delta(value["contentBlockIndex"], value["delta"])
            case "contentBlockStop":
                yield from self._stop(loads(event.data)["contentBlockIndex"])
            case "messageStop":
                yield from self.end(loads(event.data))
            case "metadata":
                self.count(loads(event.data).get("usage"))
                self.ended = True

    def block(self, index: int, block: dict[str, Any]) -> Iterator[CompletionEvent]:
        """A whole block of a plain answer, read as the deltas that a stream would have made of it."""
        if "toolUse" in block:
            yield from self._announced(index, block)
            if index in self._blocks and block["toolUse"].get("input"):
                yield from self._delta(index, {"toolUse": {"input": encode(block["toolUse"]["input"]).decode()}})
        elif "citationsContent" in block:
            for piece in block["citationsContent"].get("content") or ():
                yield from self._delta(index, piece)
        elif "reasoningContent" in block:
            thought = block["reasoningContent"]
            for name, value in (thought.get("reasoningText") or thought).items():
                yield from self._delta(index, {"reasoningContent": {name: value}})
        else:
            yield from self._delta(index, block)
        yield from self._stop(index)

    def end(self, said: dict[str, Any]) -> Iterator[CompletionEvent]:
        """The message says why it ends; blocks that are still open end with it.

        Raises:
            ErrorFrame: it does not end but break off.
        """
        for index in list(self._blocks):
            yield from self._stop(index)
        reason = said.get("stopReason")
        if not reason:
            return
        if reason in _BROKEN_OFF:
            raise ErrorFrame(f"the stop reason is `{reason}`")
        self._finish_reason = FINISH_REASONS.get(reason, "stop")
        if self._finish_reason == "stop_sequence":
            told = said.get("additionalModelResponseFields") or {}
            self._stop_sequence = (told.get("delta") or told).get("stop_sequence")

    def count(self, usage: dict[str, Any] | None) -> None:
        """Take the counts."""
        if usage:
            self._usage = read_usage(usage)

    def finish(self) -> Finished:
        """See `StreamReader.finish`."""
        if self._finish_reason is None:
            raise ValueError("it ended without a stop reason")
        return Finished((self._finish_reason,), self._usage, self._stop_sequence)

    def _announced(self, index: int, start: dict[str, Any]) -> Iterator[CompletionEvent]:
        call = start.get("toolUse")
        if call is not None and call.get("type") != "server_tool_use":
            opened = self._open(index, "tool_call")
            yield PartStarted(opened.part, "tool_call", 0, call["toolUseId"], call["name"])

    def _delta(self, index: int, delta: dict[str, Any]) -> Iterator[CompletionEvent]:
        if "toolUse" in delta:
            opened = self._blocks.get(index)
            if opened is not None and delta["toolUse"].get("input"):
                opened.empty = False
                yield PartDelta(opened.part, delta["toolUse"]["input"])
        elif "reasoningContent" in delta:
            yield from self._thought(index, delta["reasoningContent"])
        elif delta.get("text"):
            yield from self._grow(index, "text", delta["text"])

    def _thought(self, index: int, delta: dict[str, Any]) -> Iterator[CompletionEvent]:
        """More of a thought, or of the seal on it, or of one that is all seal."""
        if delta.get("text"):
            yield from self._grow(index, "reasoning", delta["text"])
            return
        redacted = delta.get("redactedContent")
        seal = redacted or delta.get("signature")
        if seal:
            yield from self._grow(index, "reasoning", "", redacted=bool(redacted))
            self._blocks[index].seal.append(seal)

    def _grow(self, index: int, kind: PartKind, text: str, *, redacted: bool = False) -> Iterator[CompletionEvent]:
        opened = self._blocks.get(index)
        if opened is None or opened.kind != kind:
            yield from self._stop(index)
            opened = self._open(index, kind)
            opened.redacted = redacted
            yield PartStarted(opened.part, kind, 0, None, "redacted" if redacted else None)
        if text:
            yield PartDelta(opened.part, text)

    def _open(self, index: int, kind: PartKind) -> _Block:
        opened = self._blocks[index] = _Block(self._parts, kind)
        self._parts += 1
        return opened

    def _stop(self, index: int) -> Iterator[CompletionEvent]:
        """A block ends: its seal is whole, and a tool call without fragments takes no arguments."""
        opened = self._blocks.pop(index, None)
        if opened is None:
            return
        if opened.kind == "tool_call" and opened.empty:
            yield PartDelta(opened.part, "{}")
        if opened.seal:
            yield PartDelta(opened.part, "", (), _joined(opened.seal) if opened.redacted else "".join(opened.seal))


def _joined(pieces: list[str]) -> str:
    """Pieces of base64 as one: each may end in padding of its own."""
    if len(pieces) == 1:
        return pieces[0]
    return base64.b64encode(b"".join(base64.b64decode(piece, validate=True) for piece in pieces)).decode()


def read_usage(wire: dict[str, Any]) -> Usage:
    """The counts. The vendor's `inputTokens` leaves out what was read from or written to the cache."""
    read = wire.get("cacheReadInputTokens") or 0
    written = wire.get("cacheWriteInputTokens") or 0
    return Usage(
        input_tokens=(wire.get("inputTokens") or 0) + read + written,
        output_tokens=wire.get("outputTokens") or 0,
        cached_tokens=read,
        cache_write_tokens=written,
    )


def read_error(body: bytes, kind: str | None) -> VendorError:
    """The body of an answer that is not a success; `kind` is what its header says of the error's type."""
    try:
        value = loads(body)
    except ValueError:
        return replace(VendorError.of_body(body), type=_kind(kind))
    return error_of(value, kind)


def error_of(value: Any, kind: str | None = None) -> VendorError:
    """What an error says, in the forms of AWS's front ends: `message` or `Message`, and a type here or in a header."""
    said = value if isinstance(value, dict) else {}
    said = said["Output"] if isinstance(said.get("Output"), dict) else said
    message = said.get("message") or said.get("Message")
    return VendorError.of({"message": message, "type": _kind(kind or said.get("__type"))})


def _kind(named: Any) -> str | None:
    """The bare name of a type; `com.amazon.coral.service#NameException` and `NameException:http://…` occur too."""
    return named.rpartition("#")[2].partition(":")[0] if isinstance(named, str) else None
