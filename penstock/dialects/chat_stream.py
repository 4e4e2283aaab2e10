"""A job as the chunks of a streamed chat completion (contract §4.3)."""

import itertools
from typing import Any

from penstock.completion import PartDelta, PartStarted
from penstock.completion.encoding import dumps
from penstock.dialects.chat_object import FINISH_REASONS, call_seal, detail, head, usage
from penstock.dialects.facts import JobFacts
from penstock.dialects.openai_errors import envelope
from penstock.errors import PenstockError, error_to_json

#: the field of a delta that carries each kind of text
_FIELDS = {"text": "content", "reasoning": "reasoning_content", "refusal": "refusal"}


class ChatStream:
    """Turns one job's events into frames. Give it every event once, in order, and in the end the final facts."""

    def __init__(self, facts: JobFacts, *, include_usage: bool) -> None:
        self._facts = facts
        self._head = head(facts, "chat.completion.chunk")
        self._include_usage = include_usage
        self._opened = 0
        self._events = 0
        #: of every part: what it is, its choice, and which of that choice's tool calls
        self._parts: list[tuple[PartStarted, int]] = []
        self._calls: dict[int, int] = {}
        #: the thoughts so far, by part, and how many were sealed, by choice: a seal is told with what it seals
        self._thoughts: dict[int, str] = {}
        self._sealed: dict[int, int] = {}

    def open(self) -> list[bytes]:
        """The first delta of every choice asked for, with its role. A second call gives nothing."""
        return self._open(self._facts.body.get("n") or 1)

    def event(self, event: PartStarted | PartDelta) -> list[bytes]:
        """The frames of one more event."""
        self._events += 1
        if isinstance(event, PartStarted):
            return self._start(event)
        part, call = self._parts[event.part]
        if event.signature is not None:
            return self._seal(part, call, event.signature)
        if part.kind == "reasoning":
            self._thoughts[event.part] = self._thoughts.get(event.part, "") + event.text
        if part.kind == "tool_call":
            if not event.text:
                return []
            return [self._delta(part.choice, {"tool_calls": [{"index": call, "function": {"arguments": event.text}}]})]
        if not event.text and not event.logprobs:
            return []
        logprobs = None
        if event.logprobs and part.kind != "reasoning":
            entries = list(event.logprobs)
            refused = part.kind == "refusal"
            logprobs = {"content": None if refused else entries, "refusal": entries if refused else None}
        return [self._delta(part.choice, {_FIELDS[part.kind]: event.text}, logprobs)]

    def close(self, facts: JobFacts) -> list[bytes]:
        """The end: the last chunk of every choice, or the error, after which no `[DONE]` follows.

        Events of the stored answer that were never given (a stream whose middle was lost) are told first.
        """
        result = facts.result
        if facts.state != "succeeded" or result is None:
            return [_frame(envelope(facts.failure))]
        frames = self.open()
        for event in itertools.islice(result.events(), self._events, None):
            frames += self.event(event)
        for choice, reason in enumerate(result.finish_reasons):
            frames.append(self._delta(choice, {}, finish_reason=FINISH_REASONS[reason]))
        if self._include_usage:
            frames.append(_frame({**self._head, "choices": [], "usage": usage(result.usage)}))
        return [*frames, b"data: [DONE]\n\n"]

    def interrupted(self) -> list[bytes]:
        """The frame that says that this stream cannot go on; no `[DONE]` follows."""
        message = "The stream was interrupted: the work on this completion began again."
        return [_frame(envelope(error_to_json(PenstockError(message))))]

    def _seal(self, part: PartStarted, call: int, signature: str) -> list[bytes]:
        if part.kind == "tool_call":
            told = {"index": call, "function": {"arguments": ""}, **call_seal(signature)}
            return [self._delta(part.choice, {"tool_calls": [told]})]
        if part.kind != "reasoning":
            return []
        number = self._sealed.get(part.choice, 0)
        self._sealed[part.choice] = number + 1
        thought = detail(number, self._thoughts.pop(part.part, ""), signature)
        return [self._delta(part.choice, {"reasoning_details": [thought]})]

    def _open(self, choices: int) -> list[bytes]:
        """In the order of choices: accumulators put the n-th new choice at place n."""
        new = range(self._opened, choices)
        self._opened = max(self._opened, choices)
        return [self._delta(choice, {"role": "assistant", "content": ""}) for choice in new]

    def _start(self, part: PartStarted) -> list[bytes]:
        frames = self._open(part.choice + 1)
        call = self._calls.get(part.choice, 0)
        self._parts.append((part, call))
        if part.kind == "tool_call":
            self._calls[part.choice] = call + 1
            entry = {
                "index": call,
                "id": self._facts.call_id(part.part, part.id),
                "type": "function",
                "function": {"name": part.name or "", "arguments": ""},
            }
            frames.append(self._delta(part.choice, {"tool_calls": [entry]}))
        return frames

    def _delta(
        self,
        choice: int,
        delta: dict[str, Any],
        logprobs: dict[str, Any] | None = None,
        finish_reason: str | None = None,
    ) -> bytes:
        entry = {"index": choice, "delta": delta, "logprobs": logprobs, "finish_reason": finish_reason}
        return _frame({**self._head, "choices": [entry]})


def _frame(value: dict[str, Any]) -> bytes:
    return b"data: " + dumps(value) + b"\n\n"
