"""A job as the chunks of a streamed legacy completion (contract §5)."""

import itertools
from typing import Any

from penstock.completion import PartDelta, PartStarted
from penstock.completion.encoding import dumps
from penstock.dialects.chat_object import usage
from penstock.dialects.facts import JobFacts
from penstock.dialects.openai_errors import envelope
from penstock.dialects.text_object import FINISH_REASONS, SPOKEN, choices, echoes, head, logprobs, placed


class TextStream:
    """Turns one job's events into frames. Give it every event once, in order, and in the end the final facts."""

    def __init__(self, facts: JobFacts, *, include_usage: bool) -> None:
        self._head = head(facts)
        self._include_usage = include_usage
        self._before = echoes(facts, choices(facts))
        self._opened = False
        self._events = 0
        self._parts: list[PartStarted] = []
        #: the characters told of each choice
        self._told: dict[int, int] = {}

    def open(self) -> list[bytes]:
        """The prompts, where they are to stand before the answers. A second call gives nothing."""
        if self._opened:
            return []
        self._opened = True
        return [self._text(choice, prompt) for choice, prompt in enumerate(self._before) if prompt]

    def event(self, event: PartStarted | PartDelta) -> list[bytes]:
        """The frames of one more event."""
        self._events += 1
        frames = self.open()
        if isinstance(event, PartStarted):
            self._parts.append(event)
            return frames
        part = self._parts[event.part]
        if part.kind not in SPOKEN or not (event.text or event.logprobs):
            return frames
        return [*frames, self._text(part.choice, event.text, event.logprobs)]

    def close(self, facts: JobFacts) -> list[bytes]:
        """The end: the last chunk of every choice, or the error, after which no `[DONE]` follows.

        Events of the stored answer that were never given are told first: all of them where there were several prompts.
        """
        result = facts.result
        if facts.state != "succeeded" or result is None:
            return [_frame(envelope(facts.failure))]
        frames = self.open()
        for event in itertools.islice(result.events(), self._events, None):
            frames += self.event(event)
        frames += [self._choice(n, "", reason=FINISH_REASONS[r]) for n, r in enumerate(result.finish_reasons)]
        if self._include_usage:
            frames.append(_frame({**self._head, "choices": [], "usage": usage(result.usage)}))
        return [*frames, b"data: [DONE]\n\n"]

    def _text(self, choice: int, text: str, entries: tuple[dict[str, Any], ...] = ()) -> bytes:
        told = self._told.get(choice, 0)
        frame = self._choice(choice, text, logprobs(placed(entries, told)))
        self._told[choice] = told + len(text)
        return frame

    def _choice(self, choice: int, text: str, scores: dict[str, Any] | None = None, reason: str | None = None) -> bytes:
        entry = {"index": choice, "text": text, "logprobs": scores, "finish_reason": reason}
        return _frame({**self._head, "choices": [entry]})


def _frame(value: dict[str, Any]) -> bytes:
    return b"data: " + dumps(value) + b"\n\n"
