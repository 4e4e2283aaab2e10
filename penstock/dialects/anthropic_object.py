"""A finished job as the message of Anthropic's dialect (contract §12.1)."""

from typing import Any

from penstock.completion import CompletionResult, ResultPart, Usage
from penstock.completion.encoding import loads
from penstock.completion.events import FinishReason
from penstock.dialects.facts import JobFacts

STOP_REASONS: dict[FinishReason, str] = {
    "stop": "end_turn",
    "length": "max_tokens",
    "tool_calls": "tool_use",
    "content_filter": "refusal",
    "stop_sequence": "stop_sequence",
    "refusal": "refusal",
}
#: what holds arguments that are no JSON object, where this dialect has room for an object only
INVALID_JSON = "INVALID_JSON"


def render(facts: JobFacts) -> dict[str, Any]:
    """The message of a job that succeeded.

    Raises:
        ValueError: the job has no whole answer.
    """
    result = facts.result
    if result is None or not result.finish_reasons:
        raise ValueError("only a whole answer can be shown as a message")
    blocks = [_block(facts, index, part) for index, part in enumerate(result.parts) if part.choice == 0]
    return {
        **head(facts),
        "content": [block for block in blocks if block is not None],
        **ending(result),
        "usage": usage(result.usage),
    }


def head(facts: JobFacts) -> dict[str, Any]:
    """What a message begins with."""
    return {"id": "msg_" + facts.id.hex, "type": "message", "role": "assistant", "model": facts.model}


def ending(result: CompletionResult) -> dict[str, Any]:
    """Why the answer ended.

    Some servers call an answer that ends with a tool call, or with a refusal, a plain stop; here clients go by the
    word.
    """
    reason = result.finish_reasons[0]
    kinds = {part.kind for part in result.parts if part.choice == 0}
    if reason == "stop" and "tool_call" in kinds:
        reason = "tool_calls"
    elif reason == "stop" and "refusal" in kinds:
        reason = "refusal"
    matched = result.stop_sequence if reason == "stop_sequence" else None
    return {"stop_reason": STOP_REASONS[reason], "stop_sequence": matched}


def usage(counts: Usage) -> dict[str, Any]:
    """The usage object; its input leaves out what was read from or written to the cache."""
    fresh = counts.input_tokens - counts.cached_tokens - counts.cache_write_tokens
    return {
        "input_tokens": max(fresh, 0),
        "cache_creation_input_tokens": counts.cache_write_tokens,
        "cache_read_input_tokens": counts.cached_tokens,
        "output_tokens": counts.output_tokens,
        "output_tokens_details": {"thinking_tokens": counts.reasoning_tokens},
    }


def tool_input(arguments: str) -> dict[str, Any]:
    """The arguments of a tool call as the object they must be."""
    if not arguments.strip():
        return {}
    try:
        value = loads(arguments)
    except ValueError:
        value = None
    return value if isinstance(value, dict) else {INVALID_JSON: arguments}


def _block(facts: JobFacts, index: int, part: ResultPart) -> dict[str, Any] | None:
    """The content block of a part, None for one that says nothing: an empty text would be refused when it is sent back.

    Thoughts of a model that seals none get an empty signature, since the field is required.
    """
    if part.kind == "tool_call":
        call_id = facts.call_id(index, part.id)
        return {"type": "tool_use", "id": call_id, "name": part.name or "", "input": tool_input(part.text)}
    if part.kind != "reasoning":
        return {"type": "text", "text": part.text} if part.text else None
    if part.name == "redacted":
        return {"type": "redacted_thinking", "data": part.signature} if part.signature else None
    if not part.text and not part.signature:
        return None
    return {"type": "thinking", "thinking": part.text, "signature": part.signature or ""}
