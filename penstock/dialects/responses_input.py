"""The `input` of a response: a string or items, as messages of a conversation and as the items to list again."""

from collections.abc import Callable
from typing import Any

from penstock.completion import Message, Part, Text, ToolCall, ToolResult
from penstock.completion.messages import Role
from penstock.dialects.facts import JobFacts
from penstock.dialects.fields import as_mapping, required, required_string, string, wrong_type, wrong_value
from penstock.dialects.openai_fields import picture

_ROLES: dict[str, Role] = {"user": "user", "assistant": "assistant", "system": "system", "developer": "system"}
#: what each kind of text part calls its text
_TEXTS = {"input_text": "text", "output_text": "text", "text": "text", "refusal": "refusal"}


def read_input(value: Any) -> list[Message]:
    """The conversation in an `input`. Neighbouring assistant items, such as a text and its calls, are one message.

    Raises:
        InvalidRequest: something in it is wrong; `param` is its path, such as `input[0].role`.
    """
    if isinstance(value, str):
        return [Message("user", (Text(value),))]
    if not isinstance(value, list):
        raise wrong_type("input", "a string or an array")
    if not value:
        raise wrong_value("input", "it is empty.")
    messages: list[Message] = []
    for index, item in enumerate(value):
        message = _item(item, f"input[{index}].")
        if message is None:
            continue
        if message.role == "assistant" and messages and messages[-1].role == "assistant":
            message = Message("assistant", messages.pop().parts + message.parts)
        messages.append(message)
    if not messages:
        raise wrong_value("input", "it holds no message.")
    return messages


def conversation(facts: JobFacts) -> list[Message]:
    """What a later response to this one continues: its input and its answer, not its instructions."""
    messages = read_input(facts.body["input"])
    answer: list[Part] = []
    for index, part in enumerate(facts.result.parts if facts.result else ()):
        if part.kind == "tool_call":
            answer.append(ToolCall(facts.call_id(index, part.id), part.name or "", part.text))
        elif part.kind != "reasoning":
            answer.append(Text(part.text))
    return [*messages, Message("assistant", tuple(answer))] if answer else messages


def input_items(facts: JobFacts) -> list[dict[str, Any]]:
    """The items of a response's input in their order, each with an id; a string is one user message."""
    value = facts.body["input"]
    if isinstance(value, str):
        value = [{"role": "user", "content": value}]
    return [_listed(item, f"{facts.id.hex}_in_{index}") for index, item in enumerate(value)]


def _item(value: Any, at: str) -> Message | None:
    item = as_mapping(value, at[:-1])
    kind = string(item, "type", at) or "message"
    reader = _ITEMS.get(kind)
    if reader is None:
        raise wrong_value(at + "type", f"items of type '{kind}' are not supported.")
    return reader(item, at)


def _message(item: dict[str, Any], at: str) -> Message:
    said = required_string(item, "role", at)
    role = _ROLES.get(said)
    if role is None:
        raise wrong_value(at + "role", f"use one of {', '.join(_ROLES)}.")
    return Message(role, _parts(required(item, "content", at), at + "content", pictures=role == "user"))


def _call(item: dict[str, Any], at: str) -> Message:
    call_id, name = required_string(item, "call_id", at), required_string(item, "name", at)
    return Message("assistant", (ToolCall(call_id, name, required_string(item, "arguments", at, empty=True)),))


def _call_output(item: dict[str, Any], at: str) -> Message:
    parts = _parts(required(item, "output", at), at + "output", pictures=False)
    text = "".join(part.text for part in parts if isinstance(part, Text))
    return Message("tool", (ToolResult(required_string(item, "call_id", at), text),))


def _reasoning(_item: dict[str, Any], _at: str) -> None:
    """What the model thought earlier is not told again."""


_ITEMS: dict[str, Callable[[dict[str, Any], str], Message | None]] = {
    "message": _message,
    "function_call": _call,
    "function_call_output": _call_output,
    "reasoning": _reasoning,
}


def _parts(content: Any, at: str, *, pictures: bool) -> tuple[Part, ...]:
    if isinstance(content, str):
        return (Text(content),)
    if not isinstance(content, list):
        raise wrong_type(at, "a string or an array")
    return tuple([_part(part, f"{at}[{index}].", pictures) for index, part in enumerate(content)])


def _part(value: Any, at: str, pictures: bool) -> Part:
    part = as_mapping(value, at[:-1])
    kind = required_string(part, "type", at)
    if kind in _TEXTS:
        return Text(required_string(part, _TEXTS[kind], at, empty=True))
    if kind != "input_image" or not pictures:
        raise wrong_value(at + "type", f"parts of type '{kind}' are not supported here.")
    return picture(required_string(part, "image_url", at), string(part, "detail", at), at + "image_url")


def _listed(item: dict[str, Any], own_id: str) -> dict[str, Any]:
    """An item as it was sent, completed by what the caller may leave out."""
    kind = item.get("type") or "message"
    if kind == "function_call":
        return {**item, "id": item.get("id") or f"fc_{own_id}", "status": item.get("status") or "completed"}
    if kind == "function_call_output":
        return {**item, "id": item.get("id") or f"fco_{own_id}", "status": item.get("status") or "completed"}
    if kind == "reasoning":
        return {**item, "id": item.get("id") or f"rs_{own_id}", "summary": item.get("summary") or []}
    content = item["content"]
    if isinstance(content, str):
        content = [{"type": "text", "text": content}]
    return {
        **item,
        "type": "message",
        "id": item.get("id") or f"msg_{own_id}",
        "status": item.get("status") or "completed",
        "content": [_listed_part(part, item["role"]) for part in content],
    }


def _listed_part(part: dict[str, Any], role: str) -> dict[str, Any]:
    kind = part["type"]
    if kind == "input_image":
        return {**part, "detail": part.get("detail") or "auto"}
    if role == "assistant":
        if kind == "refusal":
            return part
        return {**part, "type": "output_text", "annotations": part.get("annotations") or []}
    return {"type": "input_text", "text": part[_TEXTS[kind]]}
