"""Reading answers of OpenAI's chat completions, with what compatible servers add to them.

Beyond the format itself: thoughts as `reasoning_content` (DeepSeek and many after it), `reasoning` (vLLM, Groq,
Cerebras), `reasoning_details` (OpenRouter, MiniMax) or blocks of the content (Mistral); usage inside a choice
(Moonshot) or an `x_groq`; errors inside an answer of status 200 (OpenRouter, Groq, MiniMax).
"""

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
from penstock.completion.encoding import dumps, loads
from penstock.completion.events import FinishReason
from penstock.ids import new_id
from penstock.providers.exchange import encode
from penstock.providers.failures import ErrorFrame
from penstock.providers.framing import WireEvent

#: what servers say beside the four words of the format; a word that is not here ends the answer as `stop` does
FINISH_REASONS: dict[str, FinishReason] = {
    "stop": "stop",
    "length": "length",
    "max_tokens": "length",
    "model_length": "length",
    "model_context_window_exceeded": "length",
    "tool_calls": "tool_calls",
    "function_call": "tool_calls",
    "content_filter": "content_filter",
    "sensitive": "content_filter",
}
#: the server gave up: not an end of the answer
_BROKEN_OFF = {"error", "abort", "cancelled", "network_error", "insufficient_system_resource"}
#: what holds the text of OpenRouter's reasoning details
_DETAIL_TEXTS = {"reasoning.text": "text", "reasoning.summary": "summary"}


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
    details: list[dict[str, Any]] = field(default_factory=list)
    signature: str | None = None
    sealed: bool = False
    finish_reason: FinishReason | None = None


class ChatReader:
    """Reads the chunks of one stream; one text, one reasoning and one refusal per choice, and any number of calls.

    The seal of a reasoning part is the vendor's own where it has one (Mistral), and the JSON of the details where
    these are sealed or encrypted (OpenRouter): they have to go back as they came.
    """

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
        _raise_error(chunk)
        for wire in chunk.get("choices") or ():
            yield from self._choice(wire, wire.get(name) or {})
        usage = chunk.get("usage") or (chunk.get("x_groq") or {}).get("usage")
        if usage:
            self._usage = read_usage(usage)

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
        yield from self._grow(choice, number, "reasoning", _thoughts(choice, delta), ())
        yield from self._content(choice, number, delta.get("content"), logprobs.get("content") or ())
        yield from self._grow(choice, number, "refusal", delta.get("refusal"), logprobs.get("refusal") or ())
        calls = delta.get("tool_calls") or ()
        if delta.get("function_call"):
            calls = ({"index": 0, "function": delta["function_call"]},)
        for place, call in enumerate(calls):
            yield from self._call(choice, number, place, call)
        if wire.get("usage"):
            self._usage = read_usage(wire["usage"])
        if wire.get("finish_reason"):
            self._end(choice, wire)
            yield from self._seal(choice, number)

    def _content(self, choice: _Choice, number: int, content: Any, logprobs: Any) -> Iterator[CompletionEvent]:
        """A text, or Mistral's blocks of texts and thoughts; references to documents are passed over."""
        if not isinstance(content, list):
            yield from self._grow(choice, number, "text", content, logprobs)
            return
        for block in content:
            if block["type"] == "text":
                yield from self._grow(choice, number, "text", block["text"], logprobs)
            elif block["type"] == "thinking":
                yield from self._grow(choice, number, "reasoning", _thinking(block["thinking"]), ())
                choice.signature = block.get("signature") or choice.signature

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

    def _seal(self, choice: _Choice, number: int) -> Iterator[CompletionEvent]:
        """The seal of the thoughts, if there is one; a choice may be told twice that it ends."""
        signature = choice.signature
        if any(detail.get("signature") or detail.get("data") for detail in choice.details):
            signature = dumps(choice.details).decode()
        if signature is None or choice.sealed:
            return
        choice.sealed = True
        part = choice.parts.get("reasoning")
        if part is None:
            part = self._next_part()
            yield PartStarted(part, "reasoning", number, None, "redacted")
        yield PartDelta(part, "", (), signature)

    def _next_part(self) -> int:
        self._parts += 1
        return self._parts - 1


def read_usage(wire: dict[str, Any]) -> Usage:
    """The counts; what a server leaves out is 0."""
    prompt = wire.get("prompt_tokens_details") or {}
    answer = wire.get("completion_tokens_details") or {}
    input_tokens, output_tokens = wire.get("prompt_tokens") or 0, wire.get("completion_tokens") or 0
    cached = prompt.get("cached_tokens") or wire.get("prompt_cache_hit_tokens") or wire.get("cached_tokens") or 0
    reasoning = answer.get("reasoning_tokens") or wire.get("reasoning_tokens") or 0
    # xAI and its like count thoughts beside the answer, not in it; the total tells.
    if reasoning and wire.get("total_tokens") == input_tokens + output_tokens + reasoning:
        output_tokens += reasoning
    return Usage(
        input_tokens=input_tokens,
        output_tokens=output_tokens,
        cached_tokens=cached,
        cache_write_tokens=prompt.get("cache_write_tokens") or prompt.get("cache_creation_input_tokens") or 0,
        reasoning_tokens=reasoning,
    )


def _raise_error(chunk: Any) -> None:
    """An error where an answer should be: the format's own object, or a vendor's."""
    error = chunk.get("error") or (chunk.get("x_groq") or {}).get("error")
    if error or chunk.get("object") == "error":
        raise ErrorFrame(error or chunk)
    told = chunk.get("base_resp") or {}
    if told.get("status_code"):
        raise ErrorFrame({"code": str(told["status_code"]), "message": told.get("status_msg")})


def _thoughts(choice: _Choice, delta: dict[str, Any]) -> str | None:
    """The thoughts in a delta, by whichever name; its details are kept."""
    text = ""
    for detail in delta.get("reasoning_details") or ():
        held = _DETAIL_TEXTS.get(detail.get("type"))
        text += (detail.get(held) or "") if held else ""
        _keep(choice.details, detail, held)
    return delta.get("reasoning_content") or delta.get("reasoning") or text


def _keep(details: list[dict[str, Any]], detail: dict[str, Any], held: str | None) -> None:
    """Add a detail; the pieces of one text, whose seal may come with the last of them, become one."""
    last = details[-1] if details else {}
    if held is None or (last.get("type"), last.get("index")) != (detail["type"], detail.get("index")):
        details.append(dict(detail))
        return
    joined = (last.get(held) or "") + (detail.get(held) or "")
    last |= {name: value for name, value in detail.items() if value is not None} | {held: joined}


def _thinking(thinking: Any) -> str:
    """The texts of a block of thoughts."""
    if isinstance(thinking, str):
        return thinking
    return "".join(piece.get("text") or "" for piece in thinking)
