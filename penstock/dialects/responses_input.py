"""The `input` of a response: a string or items, as messages of a conversation and as the items to list again."""

from collections.abc import Callable, Mapping
from typing import Any

from penstock.completion import Document, Image, Message, Part, Reasoning, Text, ToolCall, ToolResult
from penstock.completion.messages import Role
from penstock.dialects.facts import JobFacts
from penstock.dialects.fields import as_mapping, required, required_string, string, wrong_type, wrong_value
from penstock.dialects.openai_fields import document, picture
from penstock.dialects.responses_history import REFERENCE, as_items, history_of, is_reference

_ROLES: dict[str, Role] = {"user": "user", "assistant": "assistant", "system": "system", "developer": "system"}
#: what each kind of text part calls its text
_TEXTS = {"input_text": "text", "output_text": "text", "text": "text", "refusal": "refusal"}


def read_input(value: Any, history: Mapping[str, Any] | None = None) -> list[Message]:
    """The conversation in an `input`, after that of `history` (see `responses_history`).

    Neighbouring assistant items, such as a text and its calls, are one message.

    Raises:
        InvalidRequest: something in it is wrong; `param` is its path, such as `input[0].role`.
    """
    history = history or {}
    earlier = [_item(item, "previous_response_id.") for item in history.get("items") or ()]
    if isinstance(value, str):
        return _joined([*earlier, Message("user", (Text(value),))])
    if not isinstance(value, list):
        raise wrong_type("input", "a string or an array")
    if not value:
        raise wrong_value("input", "it is empty.")
    references = history.get("references") or {}
    own = [_item(item, f"input[{index}].", references) for index, item in enumerate(value)]
    messages = _joined([*earlier, *own])
    if not messages:
        raise wrong_value("input", "it holds no message.")
    return messages


def _joined(read: list[Message | None]) -> list[Message]:
    """Neighbouring assistant items as one message. Thoughts that nothing said or done follows are left out."""
    messages: list[Message] = []
    for message in read:
        if message is None:
            continue
        if message.role == "assistant" and messages and messages[-1].role == "assistant":
            messages.append(Message("assistant", messages.pop().parts + message.parts))
        else:
            messages.append(message)
    return [each for each in messages if not all(isinstance(part, Reasoning) for part in each.parts)]


def input_items(facts: JobFacts) -> list[dict[str, Any]]:
    """The items of a response's own input in their order; a string is one user message.

    Each has an id of its own: the one it was sent with, unless another item before it has that.
    """
    listed: dict[str, dict[str, Any]] = {}
    references = history_of(facts.body).get("references") or {}
    for index, item in enumerate(as_items(facts.body)):
        given = item.get("id")
        meant = references[given] if is_reference(item) else item
        usable = isinstance(given, str) and given and given not in listed
        shown = _listed({**meant, "id": given if usable else None}, f"{facts.id.hex}_in_{index}")
        listed[shown["id"]] = shown
    return list(listed.values())


def _item(value: Any, at: str, references: Mapping[str, Any] | None = None) -> Message | None:
    item = as_mapping(value, at[:-1])
    kind = string(item, "type", at) or "message"
    if kind == REFERENCE:
        named = required_string(item, "id", at)
        if references is None or named not in references:
            raise wrong_value(at + "id", f"no item found with id '{named}'.")
        item = references[named]
        kind = item["type"]
    reader = _ITEMS.get(kind)
    if reader is None:
        raise wrong_value(at + "type", f"items of type '{kind}' are not supported.")
    return reader(item, at)


def _message(item: dict[str, Any], at: str) -> Message:
    said = required_string(item, "role", at)
    role = _ROLES.get(said)
    if role is None:
        raise wrong_value(at + "role", f"use one of {', '.join(_ROLES)}.")
    kinds = ("input_image", "input_file") if role == "user" else ()
    return Message(role, _parts(required(item, "content", at), at + "content", kinds=kinds))


def _call(item: dict[str, Any], at: str) -> Message:
    call_id, name = required_string(item, "call_id", at), required_string(item, "name", at)
    arguments = required_string(item, "arguments", at, empty=True)
    return Message("assistant", (ToolCall(call_id, name, arguments, string(item, "signature", at)),))


def _call_output(item: dict[str, Any], at: str) -> Message:
    parts = _parts(required(item, "output", at), at + "output", kinds=("input_image",))
    text = "".join(part.text for part in parts if isinstance(part, Text))
    images = tuple([part for part in parts if isinstance(part, Image)])
    return Message("tool", (ToolResult(required_string(item, "call_id", at), text, images),))


def _reasoning(item: dict[str, Any], at: str) -> Message | None:
    """What the model thought earlier; providers are told what they want back. One that says nothing is passed over."""
    texts = [
        part["text"]
        for name in ("content", "summary")
        for part in item.get(name) or ()
        if isinstance(part, dict) and isinstance(part.get("text"), str)
    ]
    seal = string(item, "encrypted_content", at)
    text = "\n\n".join(texts)
    if not text and not seal:
        return None
    return Message("assistant", (Reasoning(text, seal or None, redacted=not text),))


_ITEMS: dict[str, Callable[[dict[str, Any], str], Message | None]] = {
    "message": _message,
    "function_call": _call,
    "function_call_output": _call_output,
    "reasoning": _reasoning,
}


def _parts(content: Any, at: str, *, kinds: tuple[str, ...]) -> tuple[Part, ...]:
    """Texts, and parts of the other `kinds`."""
    if isinstance(content, str):
        return (Text(content),)
    if not isinstance(content, list):
        raise wrong_type(at, "a string or an array")
    return tuple([_part(part, f"{at}[{index}].", kinds) for index, part in enumerate(content)])


def _part(value: Any, at: str, kinds: tuple[str, ...]) -> Text | Image | Document:
    part = as_mapping(value, at[:-1])
    kind = required_string(part, "type", at)
    if kind in _TEXTS:
        return Text(required_string(part, _TEXTS[kind], at, empty=True))
    if kind not in kinds:
        raise wrong_value(at + "type", f"parts of type '{kind}' are not supported here.")
    if kind == "input_file":
        return document(part, at)
    if part.get("file_id") is not None:
        raise wrong_value(at + "file_id", "stored files cannot be read by a model here; send 'image_url'.")
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
    if kind == "input_file":
        return part
    if kind == "input_image":
        return {**part, "detail": part.get("detail") or "auto"}
    if role == "assistant":
        if kind == "refusal":
            return part
        return {**part, "type": "output_text", "annotations": part.get("annotations") or []}
    return {"type": "input_text", "text": part[_TEXTS[kind]]}
