"""Ollama's own chat and embeddings.

Witnesses: https://docs.ollama.com/api, and the server's source (ollama/ollama, `api/types.go`, `server/routes.go`).
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
from penstock.errors import ProviderOverloaded
from penstock.ids import new_id
from penstock.providers.exchange import StreamReader, WireProvider, encode
from penstock.providers.failures import ErrorFrame
from penstock.providers.framing import Decoder, WireEvent
from penstock.providers.logprobs import Entries, ending, entry, rival
from penstock.providers.ndjson import NDJSONDecoder
from penstock.providers.ollama_request import build, build_embedding

#: a word that is not here, or none as in older versions, ends the answer as `stop` does
FINISH_REASONS: dict[str, FinishReason] = {"stop": "stop", "length": "length"}
#: the server was busy with the model itself and answered nothing
_NO_ANSWER = {"load", "unload"}


class OllamaChat(WireProvider):
    """The adapter of wire format `ollama`: `POST {base_url}/api/chat`; an `/api` at the base URL's end is kept.

    A server of one's own asks for no key, ollama.com does. Which stop string matched, and how many tokens were
    thoughts or came from a cache, is not told.
    """

    failures = {  # noqa: RUF012 — see WireProvider
        (499, None): ProviderOverloaded,  # the server cancelled it, as when it unloads the model
        # What fails before the first words has a status, 500 unless more is known; later there is only a message.
        (None, None): ProviderOverloaded,
    }
    stream_type = "application/x-ndjson"

    def _path(self, upstream_model: str, *, stream: bool) -> str:  # noqa: ARG002 — see WireProvider
        return self._rooted("/chat")

    def _credentials(self, key: str) -> dict[str, str]:
        return {"authorization": f"Bearer {key}"} if key else {}

    def _body(self, request: CompletionRequest, upstream_model: str, *, stream: bool) -> dict[str, Any]:
        return build(request, upstream_model, stream=stream)

    def _answer(self, body: bytes, request: CompletionRequest) -> CompletionResult:  # noqa: ARG002 — see WireProvider
        return read_answer(loads(body))

    def _decoder(self) -> Decoder:
        return NDJSONDecoder()

    def _reader(self, request: CompletionRequest) -> StreamReader:  # noqa: ARG002 — see WireProvider
        return ChatReader()

    def _embedding_path(self, upstream_model: str) -> str:  # noqa: ARG002 — see WireProvider
        return self._rooted("/embed")

    def _embedding_body(self, request: EmbeddingRequest, upstream_model: str) -> dict[str, Any]:
        return build_embedding(request, upstream_model)

    def _embedding_answer(self, body: bytes, request: EmbeddingRequest) -> EmbeddingResult:  # noqa: ARG002 — see WireProvider
        return read_embeddings(loads(body))

    def _rooted(self, path: str) -> str:
        return path if self.config.base_url.endswith("/api") else f"/api{path}"


def read_answer(answer: Any) -> CompletionResult:
    """A plain answer. It says the same as the one line of a stream that holds everything, and is read as that.

    Raises:
        ErrorFrame: it is an error, or no answer.
        ValueError: it is not whole.
    """
    reader = ChatReader()
    builder = ResultBuilder()
    for event in reader.chunk(answer):
        builder.add(event)
    builder.add(reader.finish())
    builder.upstream_model = answer.get("model")
    return builder.build()


def read_embeddings(answer: Any) -> EmbeddingResult:
    """An answer of `/api/embed`.

    Raises:
        ErrorFrame: it is an error.
    """
    if answer.get("error"):
        raise ErrorFrame(answer["error"])
    vectors = tuple(tuple(vector) for vector in answer["embeddings"])
    return EmbeddingResult(vectors, read_usage(answer), answer.get("model"))


class ChatReader:
    """Reads the lines of one stream; one text, one reasoning, and any number of calls, each of them whole."""

    def __init__(self) -> None:
        self.ended = False
        self._parts: dict[PartKind, int] = {}
        self._count = 0
        self._called = False
        #: entries of tokens that the server still holds back: words of the answer, or the beginning of a call
        self._held: Entries = ()
        self._finish_reason: FinishReason = "stop"
        self._usage = Usage()

    def read(self, event: WireEvent) -> Iterator[CompletionEvent]:
        """See `StreamReader.read`."""
        yield from self.chunk(loads(event.data))

    def chunk(self, chunk: Any) -> Iterator[CompletionEvent]:
        """One line, or a whole answer."""
        if chunk.get("error"):
            raise ErrorFrame(chunk["error"])
        message = chunk.get("message") or {}
        thinking, text = message.get("thinking"), message.get("content")
        yield from self._grow("reasoning", thinking)
        yield from self._grow("text", text, self._of_text(chunk, thinking, text))
        for call in message.get("tool_calls") or ():
            yield from self._call(call)
        if chunk.get("done"):
            self._end(chunk)

    def finish(self) -> Finished:
        """See `StreamReader.finish`."""
        if not self.ended:
            raise ValueError("it ended before it was done")
        return Finished((self._finish_reason,), self._usage)

    def _of_text(self, chunk: dict[str, Any], thinking: str | None, text: str | None) -> Entries:
        """The entries that belong to the text: they come for every token, and the text is what comes last."""
        entries = tuple(read_logprobs(token) for token in chunk.get("logprobs") or ())
        if text:
            entries, self._held = self._held + entries, ()
            return ending(entries, text) if thinking else entries
        if not thinking:
            self._held += entries
        return ()

    def _grow(self, kind: PartKind, text: str | None, logprobs: Entries = ()) -> Iterator[CompletionEvent]:
        if not text:
            return
        if kind not in self._parts:
            self._parts[kind] = self._next_part()
            yield PartStarted(self._parts[kind], kind)
        yield PartDelta(self._parts[kind], text, logprobs)

    def _call(self, call: dict[str, Any]) -> Iterator[CompletionEvent]:
        """A call. Older versions give it no id, but its result has to name it."""
        function = call["function"]
        part = self._next_part()
        self._called, self._held = True, ()
        yield PartStarted(part, "tool_call", 0, call.get("id") or f"call_{new_id().hex}", function["name"])
        yield PartDelta(part, encode(function.get("arguments") or {}).decode())

    def _end(self, chunk: dict[str, Any]) -> None:
        reason = chunk.get("done_reason")
        if reason in _NO_ANSWER:
            raise ErrorFrame(f"there is no answer, the done reason is `{reason}`")
        self._finish_reason = FINISH_REASONS.get(reason or "stop", "stop")
        if self._called and self._finish_reason == "stop":
            self._finish_reason = "tool_calls"  # the format has no word of its own for that
        self._usage = read_usage(chunk)
        self.ended = True

    def _next_part(self) -> int:
        self._count += 1
        return self._count - 1


def read_usage(wire: dict[str, Any]) -> Usage:
    """The counts; a count of 0 is left out by the server."""
    return Usage(input_tokens=wire.get("prompt_eval_count") or 0, output_tokens=wire.get("eval_count") or 0)


def read_logprobs(token: dict[str, Any]) -> dict[str, Any]:
    """One token; the bytes are left out where they are none."""
    rivals = [rival(each["token"], each["logprob"], each.get("bytes")) for each in token.get("top_logprobs") or ()]
    return entry(token["token"], token["logprob"], token.get("bytes"), rivals)
