"""Penstock's own dialect: one durable job, its answer in neutral words, its stream with ids to resume from."""

import itertools
from typing import Any

from penstock.completion import CompletionRequest, CompletionResult, EmbeddingResult, PartDelta, PartStarted, Usage
from penstock.completion.encoding import dumps
from penstock.dialects.chat_request import parse as parse_chat
from penstock.dialects.facts import JobFacts
from penstock.dialects.fields import missing, required_string, wrong_value
from penstock.dialects.openai_errors import envelope as render_error

__all__ = ["JobStream", "parse", "render", "render_error"]

#: fields that no chat completion has
_OURS = frozenset({"input", "priority", "completion_window"})


def parse(body: dict[str, Any]) -> CompletionRequest:
    """The request in a body: a chat completion's, where `input`, a string, may stand for `messages`.

    Raises:
        InvalidRequest: it cannot be used; `param` names the field.
    """
    if body.get("input") is None:
        if body.get("messages") is None and body.get("model") is not None:
            raise missing("messages")
        return parse_chat({name: value for name, value in body.items() if name not in _OURS})
    if body.get("messages") is not None:
        raise wrong_value("input", "give either 'messages' or 'input', not both.")
    message = {"role": "user", "content": required_string(body, "input", empty=True)}
    rest = {name: value for name, value in body.items() if name not in _OURS}
    return parse_chat({**rest, "messages": [message]})


def render(facts: JobFacts) -> dict[str, Any]:
    """The job object, for a job that came in by any dialect. What there is of an unfinished answer is shown too."""
    failure = facts.failure if facts.state in {"failed", "expired"} else None
    return {
        "id": "job_" + facts.id.hex,
        "object": "job",
        "status": facts.state,
        "model": facts.model,
        "created_at": facts.created_at,
        "started": facts.started,
        "finished_at": facts.finished_at,
        **_answer(facts),
        "error": {name: failure[name] for name in ("type", "message", "code")} if failure else None,
        "cache": facts.cache,
        "metadata": facts.body.get("metadata"),
        "callback_url": facts.body.get("callback_url"),
        "routing": facts.routing,
    }


def _answer(facts: JobFacts) -> dict[str, Any]:
    result, vectors = facts.result, facts.embeddings
    if vectors is not None:
        return {"output": _vectors(vectors), "usage": _usage(vectors.usage)}
    return {
        "output": _output(facts, result) if result is not None else None,
        "usage": _usage(result.usage) if result is not None and result.finish_reasons else None,
    }


def _vectors(result: EmbeddingResult) -> dict[str, Any]:
    return {"embeddings": [list(vector) for vector in result.vectors]}


def _output(facts: JobFacts, result: CompletionResult) -> dict[str, Any]:
    """The first choice; all of them under `choices` where several were asked for."""
    count = max([len(result.finish_reasons), 1, *(part.choice + 1 for part in result.parts)])
    choices = [_choice(facts, result, number) for number in range(count)]
    return {**choices[0], "choices": choices} if count > 1 else choices[0]


def _choice(facts: JobFacts, result: CompletionResult, number: int) -> dict[str, Any]:
    reasons = result.finish_reasons
    parts = [(index, part) for index, part in enumerate(result.parts) if part.choice == number]

    def text(kind: str) -> str:
        return "".join(part.text for _, part in parts if part.kind == kind)

    return {
        "text": text("text"),
        "reasoning": text("reasoning") or None,
        "refusal": text("refusal") or None,
        "tool_calls": [
            {"id": facts.call_id(index, part.id), "name": part.name or "", "arguments": part.text}
            for index, part in parts
            if part.kind == "tool_call"
        ],
        "finish_reason": reasons[number] if number < len(reasons) else None,
    }


def _usage(counts: Usage) -> dict[str, int]:
    return {
        "input_tokens": counts.input_tokens,
        "output_tokens": counts.output_tokens,
        "total_tokens": counts.total_tokens,
        "cached_tokens": counts.cached_tokens,
        "cache_write_tokens": counts.cache_write_tokens,
        "reasoning_tokens": counts.reasoning_tokens,
    }


class JobStream:
    """Turns one job's events into frames with ids 1, 2, 3, …; those up to `after` are counted, but not given."""

    def __init__(self, facts: JobFacts, after: int = 0) -> None:
        self._facts = facts
        self._after = after
        self._started = False
        self._events = 0
        #: the id of the last frame, given or passed over
        self.last_number = 0

    def started(self) -> list[bytes]:
        """A worker began. A second beginning, after the first came to nothing, is not told."""
        if self._started:
            return []
        self._started = True
        return self._frame("start", {"id": "job_" + self._facts.id.hex, "model": self._facts.model})

    def event(self, event: PartStarted | PartDelta) -> list[bytes]:
        """The frame of one more event."""
        self._events += 1
        if isinstance(event, PartStarted):
            call = event.kind == "tool_call"
            call_id = self._facts.call_id(event.part, event.id) if call else None
            part = {"part": event.part, "kind": event.kind, "choice": event.choice, "id": call_id, "name": event.name}
            return self._frame("part", part)
        delta: dict[str, Any] = {"part": event.part, "text": event.text}
        return self._frame("delta", delta | ({"logprobs": list(event.logprobs)} if event.logprobs else {}))

    def reset(self) -> list[bytes]:
        """The answer begins anew: what was told of it no longer counts. Ids begin anew too, after this frame's 0."""
        self._started, self._events, self._after, self.last_number = False, 0, -1, -1
        return self._frame("reset", {"id": "job_" + self._facts.id.hex})

    def missed(self, facts: JobFacts) -> list[bytes]:
        """The frames of what the stored answer has and this stream was never given."""
        frames = self.started() if facts.started else []
        events = facts.result.events() if facts.result is not None else iter(())
        for event in itertools.islice(events, self._events, None):
            frames += self.event(event)
        return frames

    def close(self, job: dict[str, Any]) -> list[bytes]:
        """The last frame, with the final job object."""
        return self._frame("end", job)

    def _frame(self, event: str, data: dict[str, Any]) -> list[bytes]:
        self.last_number += 1
        if self.last_number <= self._after:
            return []
        return [f"id: {self.last_number}\nevent: {event}\ndata: ".encode() + dumps(data) + b"\n\n"]
