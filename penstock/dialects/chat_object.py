"""A finished job as a chat completion."""

from typing import Any

from penstock.completion import CompletionResult, PartDelta, ResultPart, Usage
from penstock.completion.events import FinishReason
from penstock.dialects.facts import JobFacts

#: this dialect has no word for a stop string, nor for a model that refused
FINISH_REASONS: dict[FinishReason, str] = {
    "stop": "stop",
    "length": "length",
    "tool_calls": "tool_calls",
    "content_filter": "content_filter",
    "stop_sequence": "stop",
    "refusal": "content_filter",
}

_SPOKEN = ("text", "reasoning", "refusal")
#: a text and the log probabilities of its tokens
_Spoken = tuple[str, tuple[dict[str, Any], ...]]


def render(facts: JobFacts) -> dict[str, Any]:
    """The `chat.completion` object of a job that succeeded.

    Raises:
        ValueError: the job has no whole answer.
    """
    result = facts.result
    if result is None or not result.finish_reasons:
        raise ValueError("only a whole answer can be shown as a chat completion")
    return {
        **head(facts, "chat.completion"),
        "choices": [_choice(facts, result, number) for number in range(len(result.finish_reasons))],
        "usage": usage(result.usage),
    }


def head(facts: JobFacts, kind: str) -> dict[str, Any]:
    """What a completion and all its chunks begin with."""
    return {
        "id": "chatcmpl-" + facts.id.hex,
        "object": kind,
        "created": facts.created_at,
        "model": facts.model,
        "system_fingerprint": None,
    }


def usage(counts: Usage) -> dict[str, Any]:
    """The usage object."""
    return {
        "prompt_tokens": counts.input_tokens,
        "completion_tokens": counts.output_tokens,
        "total_tokens": counts.total_tokens,
        "prompt_tokens_details": {
            "cached_tokens": counts.cached_tokens,
            "cache_write_tokens": counts.cache_write_tokens,
        },
        "completion_tokens_details": {"reasoning_tokens": counts.reasoning_tokens},
    }


def _choice(facts: JobFacts, result: CompletionResult, number: int) -> dict[str, Any]:
    parts = [(index, part) for index, part in enumerate(result.parts) if part.choice == number]
    spoken = {kind: _joined(result, [p for p in parts if p[1].kind == kind]) for kind in _SPOKEN}
    return {
        "index": number,
        "message": _message(spoken, [_call(facts, *p) for p in parts if p[1].kind == "tool_call"], _details(parts)),
        "logprobs": _logprobs(spoken),
        "finish_reason": FINISH_REASONS[result.finish_reasons[number]],
    }


def _joined(result: CompletionResult, parts: list[tuple[int, ResultPart]]) -> _Spoken | None:
    """Parts of one kind as one text. Those that grew by turns are told by turns, as the stream told them."""
    if not parts:
        return None
    if len(parts) == 1:
        return parts[0][1].text, parts[0][1].logprobs
    numbers = {index for index, _ in parts}
    deltas = [event for event in result.events() if isinstance(event, PartDelta) and event.part in numbers]
    return "".join(delta.text for delta in deltas), tuple(entry for delta in deltas for entry in delta.logprobs)


def _call(facts: JobFacts, index: int, part: ResultPart) -> dict[str, Any]:
    function = {"name": part.name or "", "arguments": part.text}
    seal = call_seal(part.signature) if part.signature is not None else {}
    return {"id": facts.call_id(index, part.id), "type": "function", "function": function, **seal}


def call_seal(signature: str) -> dict[str, Any]:
    """Where the seal of a tool call stands (see `chat_messages`)."""
    return {"extra_content": {"google": {"thought_signature": signature}}}


def detail(index: int, text: str, signature: str) -> dict[str, Any]:
    """A sealed thought (see `chat_messages`); one without text was given encrypted."""
    if not text:
        return {"index": index, "type": "reasoning.encrypted", "data": signature}
    return {"index": index, "type": "reasoning.text", "text": text, "signature": signature}


def _details(parts: list[tuple[int, ResultPart]]) -> list[dict[str, Any]]:
    sealed = [(p.text, p.signature) for _, p in parts if p.kind == "reasoning" and p.signature is not None]
    return [detail(index, *thought) for index, thought in enumerate(sealed)]


def _message(
    spoken: dict[str, _Spoken | None], calls: list[dict[str, Any]], details: list[dict[str, Any]]
) -> dict[str, Any]:
    text, reasoning, refusal = (spoken[kind] for kind in _SPOKEN)
    message: dict[str, Any] = {
        "role": "assistant",
        "content": text[0] if text else None if calls or refusal else "",
        "refusal": refusal[0] if refusal else None,
    }
    if reasoning:
        message["reasoning_content"] = reasoning[0]
    if details:
        message["reasoning_details"] = details
    if calls:
        message["tool_calls"] = calls
    return message


def _logprobs(spoken: dict[str, _Spoken | None]) -> dict[str, Any] | None:
    content, refusal = (list(found[1]) if (found := spoken[kind]) else [] for kind in ("text", "refusal"))
    return {"content": content or None, "refusal": refusal or None} if content or refusal else None
