"""A job as the numbered events of a streamed response (contract §9).

A fold over the events of a job: it depends on them and on facts that never change, so that every reading of a stream,
live or from the stored answer, gives the same bytes. Items are closed at the end, because parts may interleave and no
event says that a part is whole.
"""

import itertools
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from typing import Any

from penstock.completion import PartDelta, PartStarted, ResultPart
from penstock.completion.encoding import dumps
from penstock.dialects.facts import JobFacts
from penstock.dialects.responses_object import content, item, logprobs, output, render


@dataclass(frozen=True, slots=True)
class StreamFrame:
    """One server-sent event, as it goes over the wire."""

    sequence_number: int
    data: bytes


def joined(frames: Iterable[StreamFrame], after: int = -1) -> bytes:
    """Frames as they go over the wire, those up to number `after` left out: a reader has them already."""
    return b"".join(frame.data for frame in frames if frame.sequence_number > after)


class ResponsesStream:
    """Turns one job's events into frames. Give it every event once, in order, and in the end the final facts.

    `next_number` is the sequence number that the next frame will have.
    """

    def __init__(self, facts: JobFacts) -> None:
        self._facts = replace(
            facts, state="pending", started=not facts.background, finished_at=None, result=None, error=None
        )
        self.next_number = 0
        self._started = False
        self._events = 0
        self._parts: list[ResultPart] = []
        #: of every part, the fields that say which part an event is about
        self._places: list[dict[str, Any]] = []

    @classmethod
    def opened(cls, facts: JobFacts) -> "ResponsesStream":
        """A stream whose opening frames somebody has already sent."""
        stream = cls(facts)
        stream.open()
        return stream

    def open(self) -> list[StreamFrame]:
        """The frames before any work. A second call gives nothing."""
        if self.next_number:
            return []
        response = render(self._facts)
        frames = [self._frame("response.created", response=response)]
        if self._facts.background:
            frames.append(self._frame("response.queued", response=response))
        return frames

    def started(self) -> list[StreamFrame]:
        """A worker began. A second beginning, after the first came to nothing, is not told."""
        if self._started:
            return []
        self._started = True
        return [self._frame("response.in_progress", response=render(replace(self._facts, started=True)))]

    def event(self, event: PartStarted | PartDelta) -> list[StreamFrame]:
        """The frames of one more event."""
        self._events += 1
        if isinstance(event, PartStarted):
            return self._start(event)
        if not event.text and not event.logprobs:
            return []
        part = self._parts[event.part]
        more: dict[str, Any] = {"logprobs": logprobs(event.logprobs)} if part.kind == "text" else {}
        return [self._of_part(event.part, _EVENTS[part.kind] + ".delta", delta=event.text, **more)]

    def close(self, facts: JobFacts) -> list[StreamFrame]:
        """The end: items are closed and the last event holds the final object. After a cancellation nothing is closed.

        Frames that were never given (a stream whose middle was lost, or all of one that is read after its end) are
        told first, from the stored answer.

        Raises:
            ValueError: the job has not ended.
        """
        if not facts.ended:
            raise ValueError("a stream ends when its job does")
        frames = self.open()
        if facts.started:
            frames += self.started()
        if facts.result is not None:
            for event in itertools.islice(facts.result.events(), self._events, None):
                frames += self.event(event)
        if facts.state == "cancelled":
            return frames
        if facts.result is not None:
            for index, closed in enumerate(output(facts)):
                frames += self._close_item(index, facts.result.parts[index], closed)
        response = render(facts)
        return [*frames, self._frame(f"response.{response['status']}", response=response)]

    def interrupted(self) -> StreamFrame:
        """The frame that says that this stream cannot go on: another worker began the answer anew."""
        message = "The stream was interrupted: the work on this response began again."
        return self._frame("error", code="server_error", message=message, param=None)

    def _start(self, event: PartStarted) -> list[StreamFrame]:
        part = ResultPart(event.kind, "", event.choice, event.id, event.name)
        self._parts.append(part)
        empty = item(self._facts, event.part, part, "in_progress")
        place = {"item_id": empty["id"], "output_index": event.part}
        self._places.append(place if part.kind == "tool_call" else {**place, "content_index": 0})
        frames = [self._frame("response.output_item.added", output_index=event.part, item=empty)]
        if part.kind != "tool_call":
            frames.append(self._of_part(event.part, "response.content_part.added", part=content(part)))
        return frames

    def _close_item(self, index: int, part: ResultPart, closed: dict[str, Any]) -> list[StreamFrame]:
        done = _EVENTS[part.kind] + ".done"
        frames = [self._of_part(index, done, **_DONE[part.kind](part))]
        if part.kind != "tool_call":
            frames.append(self._of_part(index, "response.content_part.done", part=content(part)))
        return [*frames, self._frame("response.output_item.done", output_index=index, item=closed)]

    def _of_part(self, index: int, kind: str, **fields: Any) -> StreamFrame:
        return self._frame(kind, **self._places[index], **fields)

    def _frame(self, kind: str, **fields: Any) -> StreamFrame:
        number = self.next_number
        self.next_number += 1
        value = {"type": kind, "sequence_number": number, **fields}
        return StreamFrame(number, b"event: " + kind.encode() + b"\ndata: " + dumps(value) + b"\n\n")


#: what the events of each kind of part are called
_EVENTS = {
    "text": "response.output_text",
    "reasoning": "response.reasoning_text",
    "refusal": "response.refusal",
    "tool_call": "response.function_call_arguments",
}
#: what the last of them tells
_DONE: dict[str, Callable[[ResultPart], dict[str, Any]]] = {
    "text": lambda part: {"text": part.text, "logprobs": logprobs(part.logprobs)},
    "reasoning": lambda part: {"text": part.text},
    "refusal": lambda part: {"refusal": part.text},
    "tool_call": lambda part: {"name": part.name or "", "arguments": part.text},
}
