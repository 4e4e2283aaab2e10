"""OpenAI's Responses: `POST {base_url}/responses`, nothing stored there.

Sources: OpenAI's API reference and streaming guide, and the types of openai-python (`types/responses`).
"""

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, ClassVar

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
from penstock.errors import ProviderContentRefused, ProviderRejected, ProviderTimeout
from penstock.providers.exchange import StreamReader, WireProvider
from penstock.providers.failures import ErrorFrame, FailureTable
from penstock.providers.framing import WireEvent
from penstock.providers.logprobs import entry, rival
from penstock.providers.openai_responses_request import build

#: why an answer is incomplete; another word means that something cut it short
INCOMPLETE: dict[str | None, FinishReason] = {"max_output_tokens": "length", "content_filter": "content_filter"}

#: the codes with which a response fails, in a stream or after it; the common table knows the others
RESPONSES_FAILURES: FailureTable = {
    (400, "invalid_prompt"): ProviderContentRefused,
    **dict.fromkeys(
        (
            (None, "invalid_prompt"),
            (None, "bio_policy"),
            (None, "misalignment_policy_violation"),
            (None, "image_content_policy_violation"),
        ),
        ProviderContentRefused,
    ),
    **dict.fromkeys(
        (
            (None, "context_length_exceeded"),
            (None, "data_residency_mismatch"),
            (None, "invalid_image"),
            (None, "invalid_image_format"),
            (None, "invalid_base64_image"),
            (None, "invalid_image_url"),
            (None, "invalid_image_mode"),
            (None, "image_too_large"),
            (None, "image_too_small"),
            (None, "image_parse_error"),
            (None, "image_file_too_large"),
            (None, "unsupported_image_media_type"),
            (None, "empty_image_file"),
            (None, "failed_to_download_image"),
            (None, "image_file_not_found"),
        ),
        ProviderRejected,
    ),
    (None, "vector_store_timeout"): ProviderTimeout,
}

#: the deltas of a message's content, and the kind of part they grow
_CONTENT_DELTAS: dict[str, PartKind] = {"response.output_text.delta": "text", "response.refusal.delta": "refusal"}
#: the kinds of a message's content: the part, and the field that holds its text
_CONTENT: dict[str, tuple[PartKind, str]] = {"output_text": ("text", "text"), "refusal": ("refusal", "refusal")}
_THOUGHT_DELTAS = {"response.reasoning_summary_text.delta": "summary", "response.reasoning_text.delta": "content"}
_ENDS = {"response.completed", "response.incomplete", "response.failed"}


class OpenAIResponses(WireProvider):
    """The adapter of wire format `openai-responses`."""

    seal_mark = "openai-responses"

    failures: ClassVar[FailureTable] = RESPONSES_FAILURES

    def _path(self, upstream_model: str, *, stream: bool) -> str:  # noqa: ARG002 — see WireProvider
        return "/responses"

    def _credentials(self, key: str) -> dict[str, str]:
        return {"authorization": f"Bearer {key}"} if key else {}

    def _body(self, request: CompletionRequest, upstream_model: str, *, stream: bool) -> dict[str, Any]:
        return build(request, upstream_model, stream=stream, quirks=self.config.quirks)

    def _answer(self, body: bytes, request: CompletionRequest) -> CompletionResult:  # noqa: ARG002 — see WireProvider
        return read_answer(loads(body))

    def _reader(self, request: CompletionRequest) -> StreamReader:  # noqa: ARG002 — see WireProvider
        return ResponsesReader()

    def _finds_stop(self, request: CompletionRequest, upstream_model: str) -> bool:  # noqa: ARG002 — see WireProvider
        return bool(request.stop)  # the format has no field for them


def read_answer(answer: Any) -> CompletionResult:
    """A plain answer: it says the same as the last event of a stream.

    Raises:
        ErrorFrame: it holds an error.
        ValueError: it is not whole.
    """
    reader = ResponsesReader()
    builder = ResultBuilder()
    for event in reader.end(answer):
        builder.add(event)
    builder.add(reader.finish())
    builder.upstream_model = answer.get("model")
    return builder.build()


@dataclass(slots=True)
class _Item:
    """An output item: its parts by their place in it, and whether a call's arguments or a seal were given already."""

    parts: dict[int, int] = field(default_factory=dict)
    #: of a reasoning item: the text that grows, such as the second of its summary
    growing: tuple[str, int] | None = None
    has_arguments: bool = False
    is_done: bool = False


class ResponsesReader:
    """Reads the events of one stream.

    A message's texts and refusals are parts of their own; the texts of a reasoning item, summary or not, are one part.
    Its `encrypted_content` is the part's seal. What the deltas did not tell is taken from the finished item.
    """

    def __init__(self) -> None:
        self.ended = False
        self._items: dict[int, _Item] = {}
        self._parts = 0
        self._calls = False
        self._finished: Finished | None = None

    def read(self, event: WireEvent) -> Iterator[CompletionEvent]:
        """See `StreamReader.read`. Events of other types are passed over: they repeat what the deltas said."""
        data = event.data.strip()
        if not data or data == b"[DONE]":
            return
        value = loads(data)
        kind = value.get("type")
        if kind in _CONTENT_DELTAS:
            place = (value["output_index"], value["content_index"])
            yield from self._say(place, _CONTENT_DELTAS[kind], value["delta"], value.get("logprobs"))
        elif kind in _THOUGHT_DELTAS:
            field_name = _THOUGHT_DELTAS[kind]
            text = (field_name, value[f"{field_name}_index"])
            yield from self._think(value["output_index"], text, value["delta"])
        elif kind == "response.function_call_arguments.delta":
            yield from self._argue(value["output_index"], value["delta"])
        elif kind == "response.output_item.added" and value["item"]["type"] == "function_call":
            yield from self._call(value["output_index"], value["item"])
        elif kind == "response.output_item.done":
            yield from self._item(value["output_index"], value["item"])
        elif kind in _ENDS:
            yield from self.end(value["response"])
            self.ended = True
        elif kind == "error" or value.get("error"):
            raise ErrorFrame(value.get("error") or value)

    def end(self, response: Any) -> Iterator[CompletionEvent]:
        """The response as it is at its end.

        Raises:
            ErrorFrame: it failed.
            ValueError: it is not at its end.
        """
        status = response.get("status") or "completed"
        if status == "failed" or response.get("error"):
            raise ErrorFrame(response.get("error") or "the response failed")
        if status not in {"completed", "incomplete"}:
            raise ValueError(f"it ended with status `{status}`")
        for index, item in enumerate(response["output"]):
            yield from self._item(index, item)
        reason: FinishReason = "tool_calls" if self._calls else "stop"
        if status == "incomplete":
            reason = INCOMPLETE.get((response.get("incomplete_details") or {}).get("reason"), "length")
        self._finished = Finished((reason,), read_usage(response.get("usage") or {}))

    def finish(self) -> Finished:
        """See `StreamReader.finish`."""
        if self._finished is None:
            raise ValueError("it ended without saying that it is complete")
        return self._finished

    def _item(self, index: int, item: dict[str, Any]) -> Iterator[CompletionEvent]:
        """A finished item: what of it was not told yet. The vendor's own tools have no neutral form."""
        known = self._items.setdefault(index, _Item())
        if known.is_done:
            return
        known.is_done = True
        if item["type"] == "function_call":
            yield from self._call(index, item)
            if not known.has_arguments:
                yield from self._argue(index, item.get("arguments") or "")
        elif item["type"] == "message":
            for place, content in enumerate(item["content"]):
                kind, held = _CONTENT.get(content["type"], (None, ""))
                if kind is not None and place not in known.parts:
                    yield from self._say((index, place), kind, content[held], content.get("logprobs"))
        elif item["type"] == "reasoning":
            yield from self._reasoning(index, known, item)

    def _reasoning(self, index: int, known: _Item, item: dict[str, Any]) -> Iterator[CompletionEvent]:
        if not known.parts:
            for name in ("summary", "content"):
                for place, text in enumerate(item.get(name) or ()):
                    yield from self._think(index, (name, place), text["text"])
        sealed = item.get("encrypted_content")
        if not sealed:
            return
        if not known.parts:
            yield self._start(known, 0, "reasoning", name="redacted")
        yield PartDelta(known.parts[0], "", (), sealed)

    def _say(self, place: tuple[int, int], kind: PartKind, text: str, logprobs: Any) -> Iterator[CompletionEvent]:
        """More of a message's content; empty deltas are passed over, except for the tokens they report."""
        if not text and not logprobs:
            return
        known = self._items.setdefault(place[0], _Item())
        if place[1] not in known.parts:
            yield self._start(known, place[1], kind)
        yield PartDelta(known.parts[place[1]], text, tuple([_entry(token) for token in logprobs or ()]))

    def _think(self, index: int, text: tuple[str, int], delta: str) -> Iterator[CompletionEvent]:
        """More of a reasoning item; a blank line keeps its texts apart."""
        if not delta:
            return
        known = self._items.setdefault(index, _Item())
        if not known.parts:
            yield self._start(known, 0, "reasoning")
        elif known.growing != text:
            delta = "\n\n" + delta
        known.growing = text
        yield PartDelta(known.parts[0], delta)

    def _call(self, index: int, item: dict[str, Any]) -> Iterator[CompletionEvent]:
        known = self._items.setdefault(index, _Item())
        if not known.parts:
            self._calls = True
            yield self._start(known, 0, "tool_call", item["call_id"], item["name"])

    def _argue(self, index: int, delta: str) -> Iterator[CompletionEvent]:
        if delta:
            known = self._items[index]
            known.has_arguments = True
            yield PartDelta(known.parts[0], delta)

    def _start(
        self, known: _Item, place: int, kind: PartKind, call_id: str | None = None, name: str | None = None
    ) -> PartStarted:
        part = known.parts[place] = self._parts
        self._parts += 1
        return PartStarted(part, kind, 0, call_id, name)


def read_usage(wire: dict[str, Any]) -> Usage:
    """The counts; what a server leaves out is 0."""
    cache = wire.get("input_tokens_details") or {}
    return Usage(
        input_tokens=wire.get("input_tokens") or 0,
        output_tokens=wire.get("output_tokens") or 0,
        cached_tokens=cache.get("cached_tokens") or 0,
        cache_write_tokens=cache.get("cache_write_tokens") or 0,
        reasoning_tokens=(wire.get("output_tokens_details") or {}).get("reasoning_tokens") or 0,
    )


def _entry(wire: dict[str, Any]) -> dict[str, Any]:
    """A token's probability; streams leave out the bytes."""
    rivals = [rival(other["token"], other["logprob"], other.get("bytes")) for other in wire.get("top_logprobs") or ()]
    return entry(wire["token"], wire["logprob"], wire.get("bytes"), rivals)
