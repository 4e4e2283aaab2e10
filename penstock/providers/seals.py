"""Whose seal is whose: a vendor's signature on a part of an answer carries its maker's mark while the caller has it.

A later turn brings the part back, perhaps to another vendor (a fallback, another model): that one would refuse a seal
it did not make. So a seal leaves here as `mark:seal`, and goes out again only to who made it. One without a mark is
passed on as it is: the caller had it from the vendor itself.
"""

from dataclasses import replace

from penstock.completion import (
    CompletionEvent,
    CompletionRequest,
    CompletionResult,
    Message,
    PartDelta,
    Reasoning,
    ToolCall,
)
from penstock.completion.messages import Part

#: the makers of seals; Claude's are good wherever Claude is served (platform.claude.com/docs, extended thinking)
MARKS = frozenset({"anthropic", "gemini", "openai-chat", "openai-responses"})


def marked_event(event: CompletionEvent, mark: str) -> CompletionEvent:
    """An event of an answer, as it leaves the vendor whose mark this is."""
    if isinstance(event, PartDelta) and event.signature is not None:
        return replace(event, signature=f"{mark}:{event.signature}")
    return event


def marked_result(result: CompletionResult, mark: str) -> CompletionResult:
    """A whole answer, likewise."""
    if all(part.signature is None for part in result.parts):
        return result
    parts = (
        part if part.signature is None else replace(part, signature=f"{mark}:{part.signature}") for part in result.parts
    )
    return replace(result, parts=tuple(parts))


def unmarked(request: CompletionRequest, mark: str) -> CompletionRequest:
    """A request as the vendor with this mark may see it: its own seals bare, those of others gone."""
    if not any(_seal(part) for message in request.messages for part in message.parts):
        return request
    return replace(request, messages=tuple(_message(message, mark) for message in request.messages))


def _seal(part: Part) -> str | None:
    return part.signature if isinstance(part, Reasoning | ToolCall) else None


def _message(message: Message, mark: str) -> Message:
    parts = [_part(part, mark) if isinstance(part, Reasoning | ToolCall) else part for part in message.parts]
    # what a foreign seal holds, nobody else can open
    kept = (p for p in parts if not (isinstance(p, Reasoning) and p.redacted and p.signature is None))
    return replace(message, parts=tuple(kept))


def _part(part: Reasoning | ToolCall, mark: str) -> Reasoning | ToolCall:
    maker, colon, seal = (part.signature or "").partition(":")
    if not colon or maker not in MARKS:
        return part
    return replace(part, signature=seal if maker == mark else None)
