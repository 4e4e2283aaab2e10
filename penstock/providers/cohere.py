"""Cohere's chat and embeddings, version 2.

Witnesses: https://docs.cohere.com/reference/chat and /reference/chat-stream, and the types of the vendor's own SDK
(cohere-ai/cohere-python, `cohere/v2`).
"""

from collections.abc import Iterator
from typing import Any

from penstock.completion import (
    CompletionEvent,
    CompletionRequest,
    CompletionResult,
    EmbeddingRequest,
    EmbeddingResult,
    Finished,
    PartDelta,
    PartKind,
    PartStarted,
    ResultBuilder,
    Usage,
)
from penstock.completion.encoding import loads
from penstock.completion.events import FinishReason
from penstock.errors import ProviderContentRefused, ProviderOverloaded, ProviderRejected, ProviderTimeout
from penstock.providers.cohere_request import build, build_embedding
from penstock.providers.exchange import StreamReader, WireProvider
from penstock.providers.failures import ErrorFrame, VendorError
from penstock.providers.framing import WireEvent
from penstock.providers.logprobs import Entries, ending, entry

#: a word that is not here ends the answer as `COMPLETE` does
FINISH_REASONS: dict[str, FinishReason] = {
    "COMPLETE": "stop",
    "STOP_SEQUENCE": "stop_sequence",
    "MAX_TOKENS": "length",
    "TOOL_CALL": "tool_calls",
}
#: the generation failed: not an end of the answer
_FAILED = {"ERROR", "TIMEOUT"}


class CohereChat(WireProvider):
    """The adapter of wire format `cohere`: `POST {base_url}/v2/chat`; a `/v2` at the base URL's end is kept.

    An answer does not tell its model, nor how many of its tokens were thoughts.
    """

    failures = {  # noqa: RUF012 — see WireProvider
        (498, None): ProviderContentRefused,  # a word of the request or of the answer is on a list of forbidden ones
        (499, None): ProviderOverloaded,  # they cancelled it; the vendor says to ask again
        (501, None): ProviderRejected,  # the feature is not there, and will not be in a moment
        (None, "ERROR"): ProviderOverloaded,
        (None, "TIMEOUT"): ProviderTimeout,
    }

    def _path(self, upstream_model: str, *, stream: bool) -> str:  # noqa: ARG002 — see WireProvider
        return self._versioned("/chat")

    def _credentials(self, key: str) -> dict[str, str]:
        return {"authorization": f"Bearer {key}"} if key else {}

    def _body(self, request: CompletionRequest, upstream_model: str, *, stream: bool) -> dict[str, Any]:
        return build(request, upstream_model, stream=stream)

    def _answer(self, body: bytes, request: CompletionRequest) -> CompletionResult:
        return read_answer(loads(body), request)

    def _reader(self, request: CompletionRequest) -> StreamReader:
        return ChatReader(request)

    def _tells_stop(self, request: CompletionRequest, upstream_model: str) -> bool:  # noqa: ARG002 — see WireProvider
        # Which string matched is not told, but one of one is known.
        return len(request.stop) == 1

    def _embedding_path(self, upstream_model: str) -> str:  # noqa: ARG002 — see WireProvider
        return self._versioned("/embed")

    def _embedding_body(self, request: EmbeddingRequest, upstream_model: str) -> dict[str, Any]:
        return build_embedding(request, upstream_model)

    def _embedding_answer(self, body: bytes, request: EmbeddingRequest) -> EmbeddingResult:  # noqa: ARG002 — see WireProvider
        return read_embeddings(loads(body))

    def _versioned(self, path: str) -> str:
        return path if self.config.base_url.endswith("/v2") else f"/v2{path}"


def read_answer(answer: Any, request: CompletionRequest) -> CompletionResult:
    """A plain answer.

    Raises:
        ErrorFrame: it is an error, or tells of one.
        ValueError: it is not whole.
    """
    reader = ChatReader(request)
    builder = ResultBuilder()
    for event in reader.whole(answer):
        builder.add(event)
    builder.add(reader.finish())
    return builder.build()


def read_embeddings(answer: Any) -> EmbeddingResult:
    """An answer of `/v2/embed`, whose counts stand among other things about the call."""
    vectors = tuple(tuple(vector) for vector in answer["embeddings"]["float"])
    return EmbeddingResult(vectors, Usage(input_tokens=read_usage(answer.get("meta") or {}).input_tokens))


class ChatReader:
    """Reads the events of one stream.

    Thinking and the plan that leads to the calls of tools are both reasoning. Citations have no neutral form and are
    passed over, as are events that may be added.
    """

    def __init__(self, request: CompletionRequest) -> None:
        self.ended = False
        self._stop = request.stop
        #: parts by the wire's kind and index: contents and calls are numbered apart
        self._parts: dict[tuple[str, int], int] = {}
        self._count = 0
        self._without_arguments: set[int] = set()
        self._usage = Usage()
        self._finish_reason: FinishReason | None = None

    def read(self, event: WireEvent) -> Iterator[CompletionEvent]:
        """See `StreamReader.read`."""
        data = event.data.strip()
        if data == b"[DONE]":
            self.ended = True
        elif data:
            yield from self._event(loads(data))

    def whole(self, answer: dict[str, Any]) -> Iterator[CompletionEvent]:
        """The parts and deltas of a plain answer, and its end."""
        message = answer["message"]
        if isinstance(message, str):
            raise _failed(message)
        yield from self._grow(("plan", 0), "reasoning", message.get("tool_plan"))
        blocks = message.get("content") or ()
        for index, block in enumerate(blocks):
            logprobs: Entries = ()
            if index == len(blocks) - 1 and block.get("text"):
                logprobs = tuple(read_logprobs(item) for item in answer.get("logprobs") or ())
                # The text comes last; whether the thoughts before it are among the entries is not said.
                logprobs = logprobs if index == 0 else ending(logprobs, block["text"])
            yield from self._content(index, block, logprobs)
        for index, call in enumerate(message.get("tool_calls") or ()):
            yield from self._open_call(index, call)
            yield from self._close_call(index)
        self._end(answer)

    def finish(self) -> Finished:
        """See `StreamReader.finish`."""
        if self._finish_reason is None:
            raise ValueError("it ended without a finish reason")
        matched = self._stop[0] if self._finish_reason == "stop_sequence" and len(self._stop) == 1 else None
        return Finished((self._finish_reason,), self._usage, matched)

    def _event(self, value: dict[str, Any]) -> Iterator[CompletionEvent]:
        index = value.get("index") or 0
        delta = value.get("delta") or {}
        said = delta.get("message") or {}
        match value.get("type"):
            case "content-start" | "content-delta":
                logprobs = (read_logprobs(value["logprobs"]),) if value.get("logprobs") else ()
                yield from self._content(index, said.get("content") or {}, logprobs)
            case "tool-plan-delta":
                yield from self._grow(("plan", 0), "reasoning", said.get("tool_plan"))
            case "tool-call-start":
                yield from self._open_call(index, said["tool_calls"])
            case "tool-call-delta":
                yield from self._arguments(index, (said["tool_calls"].get("function") or {}).get("arguments"))
            case "tool-call-end":
                yield from self._close_call(index)
            case "message-end":
                self._end(delta)
                self.ended = True
            case None if isinstance(value.get("message"), str):
                raise _failed(value["message"])

    def _content(self, index: int, content: dict[str, Any], logprobs: Entries) -> Iterator[CompletionEvent]:
        yield from self._grow(("thinking", index), "reasoning", content.get("thinking"))
        yield from self._grow(("text", index), "text", content.get("text"), logprobs)

    def _grow(
        self, at: tuple[str, int], kind: PartKind, text: str | None, logprobs: Entries = ()
    ) -> Iterator[CompletionEvent]:
        """Empty deltas are passed over, except for the tokens they report: one character may take several."""
        if text is None or not (text or logprobs):
            return
        if at not in self._parts:
            yield PartStarted(self._next_part(at), kind)
        yield PartDelta(self._parts[at], text, logprobs)

    def _open_call(self, index: int, call: dict[str, Any]) -> Iterator[CompletionEvent]:
        self._without_arguments.add(index)
        yield PartStarted(self._next_part(("call", index)), "tool_call", 0, call["id"], call["function"]["name"])
        yield from self._arguments(index, call["function"].get("arguments"))

    def _arguments(self, index: int, fragment: str | None) -> Iterator[CompletionEvent]:
        if fragment:
            self._without_arguments.discard(index)
            yield PartDelta(self._parts["call", index], fragment)

    def _close_call(self, index: int) -> Iterator[CompletionEvent]:
        """A call that says nothing of its arguments has none, which is an empty object."""
        if index in self._without_arguments:
            yield from self._arguments(index, "{}")

    def _next_part(self, at: tuple[str, int]) -> int:
        self._parts[at] = self._count
        self._count += 1
        return self._parts[at]

    def _end(self, said: dict[str, Any]) -> None:
        """The message says why it ends, and what it took."""
        reason = said.get("finish_reason")
        if reason in _FAILED or said.get("error"):
            raise _failed(said.get("error"), reason or "ERROR")
        if reason:
            self._finish_reason = FINISH_REASONS.get(reason, "stop")
        if said.get("usage"):
            self._usage = read_usage(said["usage"])


def read_usage(wire: dict[str, Any]) -> Usage:
    """The counts, which the vendor writes as fractions.

    `tokens` is what went through the model, the vendor's own instructions included; `billed_units`, what is paid for,
    leaves those out and stands in where a server tells nothing else.
    """
    counts = wire.get("tokens") or wire.get("billed_units") or {}
    return Usage(
        input_tokens=int(counts.get("input_tokens") or 0),
        output_tokens=int(counts.get("output_tokens") or 0),
        cached_tokens=int(wire.get("cached_tokens") or 0),
    )


def read_logprobs(item: dict[str, Any]) -> dict[str, Any]:
    """A chunk of text as one entry. The vendor does not tell where its tokens part; their sum is the chunk's own."""
    return entry(item.get("text") or "", sum(item.get("logprobs") or ()))


def _failed(message: Any, kind: str = "ERROR") -> ErrorFrame:
    """An error that came when the status was said already: something of the vendor's own broke."""
    return ErrorFrame(VendorError.of({"message": message, "type": kind}))
