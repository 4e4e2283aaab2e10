"""What a response continues: the conversation of `previous_response_id`, and the earlier items its input refers to.

Both are copied into the stored body when the response is submitted, under a key of our own, so that deleting an earlier
response changes nothing for those that continue it. The copy holds items as a caller would send them.
"""

from typing import Any

from penstock.completion import ResultPart
from penstock.dialects.facts import JobFacts
from penstock.errors import InvalidRequest

#: of a stored body; a caller's own field of this name is dropped
KEY = "_history"
REFERENCE = "item_reference"
#: how many responses may follow one another, and the bytes of JSON of the conversation they come to
MAX_DEPTH = 1000
MAX_BYTES = 16 * 1024 * 1024


def history_of(body: dict[str, Any]) -> dict[str, Any]:
    """What was copied into a stored body: `items` and `depth`, `references`, or the `error` that stood in the way.

    Raises:
        InvalidRequest: the error.
    """
    history: dict[str, Any] = body.get(KEY) or {}
    if "error" in history:
        raise InvalidRequest(**history["error"])
    return history


def conversation(facts: JobFacts) -> list[dict[str, Any]]:
    """The items that a response continues which follows this one: all before it, its input and its answer.

    Its instructions are not among them.
    """
    history = history_of(facts.body)
    references = history.get("references") or {}
    own = [references.get(item.get("id"), item) if is_reference(item) else item for item in as_items(facts.body)]
    parts = facts.result.parts if facts.result is not None else ()
    return [*(history.get("items") or ()), *own, *(_answered(facts, index) for index in range(len(parts)))]


def depth(facts: JobFacts) -> int:
    """How many responses came before this one."""
    found: int = history_of(facts.body).get("depth") or 0
    return found


def output_item(facts: JobFacts, index: int) -> dict[str, Any] | None:
    """One item of an answer as a caller would send it back; None where there is no such item."""
    parts = facts.result.parts if facts.result is not None else ()
    return _answered(facts, index) if 0 <= index < len(parts) else None


def as_items(body: dict[str, Any]) -> list[dict[str, Any]]:
    """The `input` of a body that was read: a string is one user message."""
    value = body["input"]
    return [{"role": "user", "content": value}] if isinstance(value, str) else value


def is_reference(item: Any) -> bool:
    """Whether an input item only names an earlier one."""
    return isinstance(item, dict) and item.get("type") == REFERENCE


def _answered(facts: JobFacts, index: int) -> dict[str, Any]:
    assert facts.result is not None  # there is a part `index`
    part = facts.result.parts[index]
    if part.kind == "tool_call":
        call = {"call_id": facts.call_id(index, part.id), "name": part.name or "", "arguments": part.text}
        return {"type": "function_call", **call, **_sealed(part, "signature")}
    if part.kind == "reasoning":
        texts = [{"type": "reasoning_text", "text": part.text}] if part.text else []
        return {"type": "reasoning", "content": texts, **_sealed(part, "encrypted_content")}
    kind, name = ("output_text", "text") if part.kind == "text" else ("refusal", "refusal")
    return {"type": "message", "role": "assistant", "content": [{"type": kind, name: part.text}]}


def _sealed(part: ResultPart, name: str) -> dict[str, Any]:
    return {name: part.signature} if part.signature is not None else {}
