"""Answers of Google's generateContent, whole and streamed: a stream's chunks have the form of whole answers.

Written from the vendor's reference (ai.google.dev/api/generate-content), its page on thought signatures, and the types
of python-genai.
"""

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
from penstock.ids import new_id
from penstock.providers.exchange import encode
from penstock.providers.failures import ErrorFrame, VendorError
from penstock.providers.framing import WireEvent
from penstock.providers.gemini_errors import read_error
from penstock.providers.logprobs import Entries, entry, rival

#: every other word says that the vendor stopped the answer, mostly for what is in it (`SAFETY`, `RECITATION`,
#: `BLOCKLIST`, `SPII`, `LANGUAGE`, `OTHER`, …): `content_filter`, also for words that may be added
FINISH_REASONS: dict[str, FinishReason] = {"STOP": "stop", "MAX_TOKENS": "length", "CONTINUATION": "length"}
#: the model, or the conversation it was given, went wrong: not an end of the answer
_BROKEN_OFF = {
    "MALFORMED_FUNCTION_CALL",
    "MALFORMED_RESPONSE",
    "MISSING_THOUGHT_SIGNATURE",
    "TOO_MANY_TOOL_CALLS",
    "UNEXPECTED_TOOL_CALL",
}


def read_answer(answer: Any, request: CompletionRequest) -> CompletionResult:
    """A plain answer, or the list of chunks that a stream is where nobody made events of it.

    Raises:
        ErrorFrame: it holds an error, or the prompt was blocked.
        ValueError: it is not whole.
    """
    reader = GenerateContentReader(request)
    builder = ResultBuilder()
    chunks = answer if isinstance(answer, list) else [answer]
    for chunk in chunks:
        for event in reader.chunk(chunk):
            builder.add(event)
        builder.upstream_model = chunk.get("modelVersion") or builder.upstream_model
    reader.ended = True
    builder.add(reader.finish())
    return builder.build()


@dataclass(slots=True)
class _Choice:
    """What is known of one candidate: the part that still grows, whether it called a tool, and its end."""

    kind: PartKind | None = None
    part: int = 0
    called: bool = False
    finish_reason: FinishReason | None = None


class GenerateContentReader:
    """Reads the chunks of one stream.

    The format has no end mark: the answer is over when its connection is, and a finish reason is not the last that may
    come (models exist that repeat theirs in every chunk).

    Pictures and the vendor's own tools (code that it ran, searches) have no neutral form and are passed over.
    """

    def __init__(self, request: CompletionRequest) -> None:
        self.ended = False
        self._asked = request.n
        self._choices: dict[int, _Choice] = {}
        self._parts = 0
        self._usage: dict[str, Any] = {}

    def read(self, event: WireEvent) -> Iterator[CompletionEvent]:
        """See `StreamReader.read`."""
        data = event.data.strip()
        if not data:
            return
        value = loads(data)
        for chunk in value if isinstance(value, list) else [value]:
            yield from self.chunk(chunk)

    def chunk(self, chunk: Any) -> Iterator[CompletionEvent]:
        """One chunk, or a whole answer."""
        if chunk.get("error"):
            raise ErrorFrame(read_error(chunk["error"]))
        blocked = (chunk.get("promptFeedback") or {}).get("blockReason")
        if blocked:
            raise ErrorFrame(VendorError(f"The prompt was blocked: {blocked}.", type="content_filter"))
        # Counts are of all so far; a chunk leaves out those it does not know yet.
        self._usage |= chunk.get("usageMetadata") or {}
        for candidate in chunk.get("candidates") or ():
            yield from self._candidate(candidate)

    def finish(self) -> Finished:
        """See `StreamReader.finish`."""
        choices = [choice for _, choice in sorted(self._choices.items())]
        reasons = tuple(_reason(choice, choice.finish_reason) for choice in choices if choice.finish_reason)
        # Of a stream that was cut, a choice that never began is noticed by its number only.
        if len(reasons) < max(1, len(choices), 0 if self.ended else self._asked):
            raise ValueError("it ended without a finish reason")
        return Finished(reasons, read_usage(self._usage))

    def _candidate(self, wire: dict[str, Any]) -> Iterator[CompletionEvent]:
        number = wire.get("index") or 0
        choice = self._choices.setdefault(number, _Choice())
        entries = read_logprobs(wire.get("logprobsResult"))
        for part in (wire.get("content") or {}).get("parts") or ():
            if part.get("functionCall"):
                yield from self._call(choice, number, part)
                continue
            is_text = isinstance(part.get("text"), str) and not part.get("thought")
            yield from self._grow(choice, number, part, entries if is_text else ())
            entries = () if is_text else entries
        reason = wire.get("finishReason")
        if reason in _BROKEN_OFF:
            said = wire.get("finishMessage") or "the answer broke off"
            raise ErrorFrame(VendorError(f"{reason}: {said}", type=reason))
        if reason and reason != "FINISH_REASON_UNSPECIFIED":
            choice.finish_reason = FINISH_REASONS.get(reason, "content_filter")

    def _grow(self, choice: _Choice, number: int, wire: dict[str, Any], entries: Entries) -> Iterator[CompletionEvent]:
        """A piece of text or of a thought; a seal closes the part it comes with, or the one before an empty piece."""
        text, seal = wire.get("text"), wire.get("thoughtSignature")
        if not isinstance(text, str) and not (seal and wire.keys() <= {"thought", "thoughtSignature"}):
            return
        if text or entries:
            kind: PartKind = "reasoning" if wire.get("thought") else "text"
            if choice.kind != kind:
                choice.kind, choice.part = kind, self._next_part()
                yield PartStarted(choice.part, kind, number)
            yield PartDelta(choice.part, text or "", entries)
        elif seal and choice.kind is None:
            choice.kind, choice.part = "reasoning", self._next_part()
            yield PartStarted(choice.part, "reasoning", number, None, "redacted")
        if seal:
            # What has a seal must come back as it was: nothing may be joined to it.
            choice.kind = None
            yield PartDelta(choice.part, "", (), seal)

    def _call(self, choice: _Choice, number: int, wire: dict[str, Any]) -> Iterator[CompletionEvent]:
        """A tool call always comes whole. Older models do not number theirs."""
        call = wire["functionCall"]
        if not call.get("name"):
            raise ValueError("a tool call has no name")
        choice.kind, choice.called = None, True
        part = self._next_part()
        yield PartStarted(part, "tool_call", number, call.get("id") or f"call_{new_id().hex}", call["name"])
        yield PartDelta(part, encode(call.get("args") or {}).decode())
        if wire.get("thoughtSignature"):
            yield PartDelta(part, "", (), wire["thoughtSignature"])

    def _next_part(self) -> int:
        self._parts += 1
        return self._parts - 1


def _reason(choice: _Choice, reason: FinishReason) -> FinishReason:
    """The format has no word of its own for an answer that calls tools."""
    return "tool_calls" if choice.called and reason == "stop" else reason


def read_usage(wire: dict[str, Any]) -> Usage:
    """The counts. What tools of the vendor's fed to the model is input; thoughts are counted beside the answer."""
    thoughts = wire.get("thoughtsTokenCount") or 0
    return Usage(
        input_tokens=(wire.get("promptTokenCount") or 0) + (wire.get("toolUsePromptTokenCount") or 0),
        output_tokens=(wire.get("candidatesTokenCount") or 0) + thoughts,
        cached_tokens=wire.get("cachedContentTokenCount") or 0,
        reasoning_tokens=thoughts,
    )


def read_logprobs(wire: dict[str, Any] | None) -> Entries:
    """The tokens that were chosen, each with the ones that could have been."""
    if not wire:
        return ()
    chosen, tops = wire.get("chosenCandidates") or (), wire.get("topCandidates") or ()
    entries = []
    for place, token in enumerate(chosen):
        others = tops[place].get("candidates") or () if place < len(tops) else ()
        rivals = [rival(other["token"], other.get("logProbability") or 0.0) for other in others]
        # Protobuf leaves out what is zero: the logarithm of certainty.
        entries.append(entry(token["token"], token.get("logProbability") or 0.0, None, rivals))
    return tuple(entries)
