"""An answer that goes on where an earlier one broke off: which requests can, what they ask then, how the two join."""

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

from penstock.completion.events import PartDelta, PartStarted
from penstock.completion.messages import Message, Text
from penstock.completion.request import CompletionRequest
from penstock.completion.result import CompletionResult, ResultPart


def can_go_on(request: CompletionRequest) -> bool:
    """Whether the rest of an answer, asked for by itself, is what the whole would have been.

    It is one plain text: a model that thinks thinks before its first word, a form is kept from the first word to the
    last, and log probabilities belong to a whole.
    """
    thinks = request.reasoning_effort not in {None, "none"} or request.reasoning_tokens is not None
    formed = request.response_format is not None and request.response_format.kind != "text"
    several = request.n != 1 or bool(request.others)
    asks = bool(request.messages) and request.messages[-1].role == "user"
    return asks and not (thinks or formed or several or request.logprobs or request.tools)


def usable_part(broken: CompletionResult) -> CompletionResult | None:
    """What is there of a broken answer, without blanks at its end (vendors refuse them there); None: nothing to use."""
    if [part.kind for part in broken.parts] != ["text"] or broken.finish_reasons:
        return None
    text = broken.parts[0].text.rstrip()
    if not text:
        return None
    part = ResultPart("text", text)
    trace, at = [(0, 0, 0)], 0
    for size in (size for _, size, _ in broken.trace if size > 0):
        kept = min(size, len(text) - at)
        if kept > 0:
            trace.append((0, kept, 0))
            at += kept
    return replace(broken, parts=(part,), trace=tuple(trace))


def going_on(
    request: CompletionRequest, part: CompletionResult, tokens: int, fields: dict[str, Any]
) -> CompletionRequest:
    """The request for the rest, after a part of so many tokens; `fields` are what its server must be told for it."""
    left = max(1, request.max_tokens - tokens) if request.max_tokens is not None else None
    said = Message("assistant", (Text(part.text),))
    extra = {**request.extra, **fields}
    return replace(request, messages=(*request.messages, said), max_tokens=left, extra=extra)


class Joint:
    """Makes the events of the rest those of one answer, whose first part has begun already."""

    def __init__(self) -> None:
        self._shift: int | None = None

    def read(self, event: PartStarted | PartDelta) -> Iterator[PartStarted | PartDelta]:
        """The event as one of the whole: the first text goes on, any other part is one more."""
        if self._shift is None:
            self._shift = 0 if isinstance(event, PartStarted) and event.kind == "text" else 1
        if self._shift == 0 and isinstance(event, PartStarted) and event.part == 0:
            return
        yield replace(event, part=event.part + self._shift)
