"""OpenAI's chat completions, as spoken by OpenAI and by every server compatible with it."""

from collections.abc import Iterator
from dataclasses import dataclass, field
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
from penstock.providers.exchange import StreamReader, WireProvider, encode
from penstock.providers.failures import ErrorFrame
from penstock.providers.framing import WireEvent
from penstock.providers.openai_chat_request import build

#: hosts that know the limit of the answer's tokens by its newer name only; `max_tokens` is what all others know
NEWER_LIMIT_HOSTS = {"api.openai.com"}

#: what servers say beside the four words of the format; a word that is not here ends the answer as `stop` does
FINISH_REASONS: dict[str, FinishReason] = {
    "stop": "stop",
    "length": "length",
    "max_tokens": "length",
    "model_length": "length",
    "tool_calls": "tool_calls",
    "function_call": "tool_calls",
    "content_filter": "content_filter",
}
#: the server gave up: not an end of the answer
_BROKEN_OFF = {"error", "abort", "cancelled"}


class OpenAIChat(WireProvider):
    """The adapter of wire format `openai`: `POST {base_url}/chat/completions`."""

    def _path(self, upstream_model: str, *, stream: bool) -> str:  # noqa: ARG002 — see WireProvider
        return "/chat/completions"

    def _credentials(self, key: str) -> dict[str, str]:
        return {"authorization": f"Bearer {key}"} if key else {}

    def _body(self, request: CompletionRequest, upstream_model: str, *, stream: bool) -> dict[str, Any]:
        limit_field = "max_completion_tokens" if self.host in NEWER_LIMIT_HOSTS else "max_tokens"
        return build(request, upstream_model, stream=stream, limit_field=limit_field)

    def _answer(self, body: bytes, request: CompletionRequest) -> CompletionResult:
        return read_answer(loads(body), request)

    def _reader(self, request: CompletionRequest) -> StreamReader:
        return ChatReader(request)


def read_answer(answer: Any, request: CompletionRequest) -> CompletionResult:
    """A plain answer. It says the same as the one chunk of a stream that holds everything, and is read as that.

    Raises:
        ErrorFrame: it holds an error.
        ValueError: it is not whole.
    """
    reader = ChatReader(request)
    builder = ResultBuilder()
    for event in reader.chunk(answer, "message"):
        builder.add(event)
    reader.ended = True
    builder.add(reader.finish())
    builder.upstream_model = answer.get("model")
    return builder.build()


@dataclass(slots=True)
class _Choice:
    """What is known of one choice: its parts by kind, its tool calls by the wire's index, and its end."""

    parts: dict[PartKind, int] = field(default_factory=dict)
    calls: dict[int, tuple[int, str]] = field(default_factory=dict)
    finish_reason: FinishReason | None = None


class ChatReader:
    """Reads the chunks of one stream; one text, one reasoning and one refusal per choice, and any number of calls."""

    def __init__(self, request: CompletionRequest) -> None:
        self.ended = False
        self._request = request
        self._choices: dict[int, _Choice] = {}
        self._parts = 0
        self._usage = Usage()
        self._stop_sequence: str | None = None

    def read(self, event: WireEvent) -> Iterator[CompletionEvent]:
        """See `StreamReader.read`."""
        data = event.data.strip()
        if data == b"[DONE]":
            self.ended = True
        elif data:
            yield from self.chunk(loads(data), "delta")

    def chunk(self, chunk: Any, name: str) -> Iterator[CompletionEvent]:
        """One chunk, or a whole answer; `name` is what the format calls the content: `delta` or `message`."""
        error = chunk.get("error")
        if error or chunk.get("object") == "error":
            raise ErrorFrame(error or chunk)
        for wire in chunk.get("choices") or ():
            yield from self._choice(wire, wire.get(name) or {})
        if chunk.get("usage"):
            self._usage = read_usage(chunk["usage"])

    def finish(self) -> Finished:
        """See `StreamReader.finish`."""
        choices = [choice for _, choice in sorted(self._choices.items())]
        reasons = tuple(choice.finish_reason for choice in choices if choice.finish_reason)
        # Where the end mark is missing, a choice that never began is noticed by its number only.
        if len(reasons) < max(1, len(choices), 0 if self.ended else self._request.n):
            raise ValueError("it ended without a finish reason")
        return Finished(reasons, self._usage, self._stop_sequence)

    def _choice(self, wire: dict[str, Any], delta: dict[str, Any]) -> Iterator[CompletionEvent]:
        number = wire.get("index") or 0
        choice = self._choices.setdefault(number, _Choice())
        logprobs = wire.get("logprobs") or {}
        reasoning = delta.get("reasoning_content") or delta.get("reasoning")
        yield from self._grow(choice, number, "reasoning", reasoning, ())
        yield from self._grow(choice, number, "text", delta.get("content"), logprobs.get("content") or ())
        yield from self._grow(choice, number, "refusal", delta.get("refusal"), logprobs.get("refusal") or ())
        calls = delta.get("tool_calls") or ()
        if delta.get("function_call"):
            calls = ({"index": 0, "function": delta["function_call"]},)
        for place, call in enumerate(calls):
            yield from self._call(choice, number, place, call)
        if wire.get("finish_reason"):
            self._end(choice, wire)

    def _grow(
        self, choice: _Choice, number: int, kind: PartKind, text: Any, logprobs: Any
    ) -> Iterator[CompletionEvent]:
        """Empty deltas are passed over, except for the tokens they report: one character may take several."""
        if not isinstance(text, str) or not (text or logprobs):
            return
        part = choice.parts.get(kind)
        if part is None:
            part = choice.parts[kind] = self._next_part()
            yield PartStarted(part, kind, number)
        yield PartDelta(part, text, tuple(logprobs))

    def _call(self, choice: _Choice, number: int, place: int, wire: dict[str, Any]) -> Iterator[CompletionEvent]:
        """A fragment of a tool call, or a whole one; where `index` is left out, the place in the list says it."""
        function = wire.get("function") or {}
        index, call_id, name = wire.get("index"), wire.get("id"), function.get("name")
        if index is None:
            index = place if name else max(choice.calls, default=0)
        known = choice.calls.get(index)
        # Servers exist that number all calls 0, and others that send a fresh id with every fragment: only an id
        # together with a name begins another call.
        if known is None or (name and call_id and call_id != known[1]):
            if not name:
                raise ValueError("a tool call has no name")
            call_id = call_id or f"call_{new_id().hex}"
            known = choice.calls[index] = (self._next_part(), call_id)
            yield PartStarted(known[0], "tool_call", number, call_id, name)
        arguments = function.get("arguments")
        if arguments:
            yield PartDelta(known[0], arguments if isinstance(arguments, str) else encode(arguments).decode())

    def _end(self, choice: _Choice, wire: dict[str, Any]) -> None:
        said = wire["finish_reason"]
        if said in _BROKEN_OFF:
            raise ErrorFrame(f"the finish reason is `{said}`")
        choice.finish_reason = FINISH_REASONS.get(said, "stop")
        # vLLM and its kin name the stop string that matched; the format itself does not tell it from a natural end.
        matched = wire.get("stop_reason")
        if choice.finish_reason == "stop" and matched in self._request.stop:
            choice.finish_reason = "stop_sequence"
            self._stop_sequence = matched

    def _next_part(self) -> int:
        self._parts += 1
        return self._parts - 1


def read_usage(wire: dict[str, Any]) -> Usage:
    """The counts; what a server leaves out is 0."""
    prompt = wire.get("prompt_tokens_details") or {}
    answer = wire.get("completion_tokens_details") or {}
    return Usage(
        input_tokens=wire.get("prompt_tokens") or 0,
        output_tokens=wire.get("completion_tokens") or 0,
        cached_tokens=prompt.get("cached_tokens") or wire.get("prompt_cache_hit_tokens") or 0,
        cache_write_tokens=prompt.get("cache_write_tokens") or 0,
        reasoning_tokens=answer.get("reasoning_tokens") or 0,
    )
