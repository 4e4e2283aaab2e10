"""A job as the events of a streamed message (contract §12.2)."""

import itertools
from typing import Any

from penstock.completion import PartDelta, PartStarted
from penstock.completion.encoding import dumps
from penstock.dialects.anthropic_blocks import BlockDelta, BlockEvent, BlockSequence, BlockStarted
from penstock.dialects.anthropic_errors import envelope
from penstock.dialects.anthropic_object import ending, head, usage
from penstock.dialects.facts import JobFacts
from penstock.errors import ProviderStreamBroken, error_to_json

#: the delta that carries each kind of text, and its field
_DELTAS = {
    "text": ("text_delta", "text"),
    "refusal": ("text_delta", "text"),
    "reasoning": ("thinking_delta", "thinking"),
    "tool_call": ("input_json_delta", "partial_json"),
}


class MessagesStream:
    """Turns one job's events into frames. Give it every event once, in order, and in the end the final facts.

    `input_tokens` is what the prompt is estimated to be: its real count comes with the end. `request_id` is that of
    the response that carries the stream.
    """

    def __init__(self, facts: JobFacts, *, input_tokens: int = 0, request_id: str | None = None) -> None:
        self._facts = facts
        self._input_tokens = input_tokens
        self._request_id = request_id
        self._opened = False
        self._events = 0
        self._blocks = BlockSequence()
        #: the number of the open block
        self._index = -1
        self._kind = "text"

    def open(self) -> list[bytes]:
        """The message, still empty. A second call gives nothing."""
        if self._opened:
            return []
        self._opened = True
        counts = {
            "input_tokens": self._input_tokens,
            "cache_creation_input_tokens": 0,
            "cache_read_input_tokens": 0,
            "output_tokens": 0,
        }
        nothing: dict[str, Any] = {"content": [], "stop_reason": None, "stop_sequence": None, "usage": counts}
        return [_frame("message_start", message={**head(self._facts), **nothing})]

    def ping(self) -> list[bytes]:
        """A sign of life; the message comes first all the same."""
        return [*self.open(), _frame("ping")]

    def event(self, event: PartStarted | PartDelta) -> list[bytes]:
        """The frames of one more event."""
        self._events += 1
        return [*self.open(), *map(self._block, self._blocks.add(event))]

    def close(self, facts: JobFacts) -> list[bytes]:
        """The end: the last block is stopped and the message told why it ends; or the error, and no `message_stop`.

        Events of the stored answer that were never given (a stream whose middle was lost) are told first.
        """
        result = facts.result
        if facts.state != "succeeded" or result is None:
            return self._failed(facts.failure)
        frames = self.open()
        for event in itertools.islice(result.events(), self._events, None):
            frames += self.event(event)
        frames += map(self._block, self._blocks.end())
        frames.append(_frame("message_delta", delta=ending(result), usage=usage(result.usage)))
        return [*frames, _frame("message_stop")]

    def interrupted(self) -> list[bytes]:
        """The frame that says that this stream cannot go on: another worker began the answer anew."""
        return self._failed(error_to_json(ProviderStreamBroken("The stream was interrupted: the work began again.")))

    def _failed(self, error: dict[str, Any]) -> list[bytes]:
        return [_data("error", envelope(error, self._request_id))]

    def _block(self, event: BlockEvent) -> bytes:
        if isinstance(event, BlockStarted):
            self._index += 1
            self._kind = event.part.kind
            return _frame("content_block_start", index=self._index, content_block=self._empty(event))
        if isinstance(event, BlockDelta):
            return _frame("content_block_delta", index=self._index, delta=self._delta(event))
        return _frame("content_block_stop", index=self._index)

    def _empty(self, event: BlockStarted) -> dict[str, Any]:
        part = event.part
        if part.kind == "tool_call":
            call_id = self._facts.call_id(part.part, part.id)
            return {"type": "tool_use", "id": call_id, "name": part.name or "", "input": {}}
        if event.sealed is not None:
            return {"type": "redacted_thinking", "data": event.sealed}
        if part.kind == "reasoning":
            return {"type": "thinking", "thinking": "", "signature": ""}
        return {"type": "text", "text": ""}

    def _delta(self, event: BlockDelta) -> dict[str, Any]:
        if event.signature is not None:
            return {"type": "signature_delta", "signature": event.signature}
        kind, field = _DELTAS[self._kind]
        return {"type": kind, field: event.text}


def _frame(kind: str, **fields: Any) -> bytes:
    return _data(kind, {"type": kind, **fields})


def _data(kind: str, value: dict[str, Any]) -> bytes:
    return b"event: " + kind.encode() + b"\ndata: " + dumps(value) + b"\n\n"
