"""What happens while a completion is being made: the one event stream every provider is normalised to.

A part (a text, a reasoning text, a tool call) is started once and then grows by deltas; parts may interleave.
`Finished` comes last and exactly once; a stream that ends without it was cut.
"""

from dataclasses import dataclass
from typing import Any, Literal

from penstock.completion.usage import Usage

PartKind = Literal["text", "reasoning", "refusal", "tool_call"]
FinishReason = Literal["stop", "length", "tool_calls", "content_filter", "stop_sequence", "refusal"]


@dataclass(frozen=True, slots=True)
class PartStarted:
    """A new part of the answer. Parts are numbered from 0 in the order they start, over all choices.

    `id` and `name` are a tool call's; a reasoning part named `redacted` has no text, only its signature.
    """

    part: int
    kind: PartKind
    choice: int = 0
    id: str | None = None
    name: str | None = None


@dataclass(frozen=True, slots=True)
class PartDelta:
    """More of a part: text, or a fragment of a tool call's JSON arguments.

    `logprobs` holds entries `{token, logprob, bytes, top_logprobs}` for the tokens of this delta. `signature` is the
    vendor's seal on a part, which it wants back with the part in a later turn; it comes alone, with an empty text.
    """

    part: int
    text: str
    logprobs: tuple[dict[str, Any], ...] = ()
    signature: str | None = None


@dataclass(frozen=True, slots=True)
class Finished:
    """The provider's own end of the answer; one finish reason per choice."""

    finish_reasons: tuple[FinishReason, ...]
    usage: Usage
    stop_sequence: str | None = None


CompletionEvent = PartStarted | PartDelta | Finished


def event_to_json(event: PartStarted | PartDelta) -> list[Any]:
    """A short JSON array, the form in which a chunk travels through Redis."""
    if isinstance(event, PartStarted):
        return ["p", event.part, event.kind, event.choice, event.id, event.name]
    if event.signature is not None:
        return ["d", event.part, event.text, list(event.logprobs), event.signature]
    if event.logprobs:
        return ["d", event.part, event.text, list(event.logprobs)]
    return ["d", event.part, event.text]


def event_from_json(value: list[Any]) -> PartStarted | PartDelta:
    """The inverse of `event_to_json`."""
    if value[0] == "p":
        return PartStarted(*value[1:])
    logprobs, signature = value[3] if len(value) > 3 else (), value[4] if len(value) > 4 else None
    return PartDelta(value[1], value[2], tuple(logprobs), signature)
