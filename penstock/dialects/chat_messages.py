"""The messages of a chat completion."""

from collections.abc import Callable
from typing import Any

from penstock.completion import Message, Part, Text, ToolCall, ToolResult
from penstock.dialects.fields import (
    array,
    as_mapping,
    missing,
    required,
    required_string,
    string,
    wrong_type,
    wrong_value,
)
from penstock.dialects.openai_fields import picture


def read_messages(values: list[Any]) -> tuple[Message, ...]:
    """The conversation.

    Raises:
        InvalidRequest: something in it is wrong; `param` is its path, such as `messages[0].role`.
    """
    return tuple([_message(value, f"messages[{index}].") for index, value in enumerate(values)])


def _message(value: Any, at: str) -> Message:
    if not isinstance(value, dict):
        raise wrong_type(at[:-1], "an object")
    role = required_string(value, "role", at)
    reader = _READERS.get(role)
    if reader is None:
        raise wrong_value(at + "role", f"use one of {', '.join(_READERS)}.")
    return reader(value, at)


def _system(value: dict[str, Any], at: str) -> Message:
    """Also role `developer`, a newer name of the same thing that few engines know."""
    return Message("system", _parts(required(value, "content", at), at, pictures=False), string(value, "name", at))


def _user(value: dict[str, Any], at: str) -> Message:
    return Message("user", _parts(required(value, "content", at), at, pictures=True), string(value, "name", at))


def _assistant(value: dict[str, Any], at: str) -> Message:
    content, refusal, calls = value.get("content"), string(value, "refusal", at), array(value, "tool_calls", at)
    parts: tuple[Part, ...] = ()
    if content:
        parts = _parts(content, at, pictures=False)
    elif content is not None and not isinstance(content, str | list):
        raise wrong_type(at + "content", "a string or an array")
    elif refusal:
        parts = (Text(refusal),)
    elif not calls:
        if content is None:
            raise missing(at + "content")
        parts = (Text(""),)
    parts += tuple(_call(call, f"{at}tool_calls[{index}].") for index, call in enumerate(calls or ()))
    return Message("assistant", parts, string(value, "name", at))


def _tool(value: dict[str, Any], at: str) -> Message:
    parts = _parts(required(value, "content", at), at, pictures=False)
    text = "".join(part.text for part in parts if isinstance(part, Text))
    return Message("tool", (ToolResult(required_string(value, "tool_call_id", at), text),))


_READERS: dict[str, Callable[[dict[str, Any], str], Message]] = {
    "system": _system,
    "developer": _system,
    "user": _user,
    "assistant": _assistant,
    "tool": _tool,
}


def _parts(content: Any, at: str, *, pictures: bool) -> tuple[Part, ...]:
    if isinstance(content, str):
        return (Text(content),)
    if not isinstance(content, list):
        raise wrong_type(at + "content", "a string or an array")
    if not content:
        raise wrong_value(at + "content", "it is empty.")
    return tuple([_part(part, f"{at}content[{index}].", pictures) for index, part in enumerate(content)])


def _part(value: Any, at: str, pictures: bool) -> Part:
    part = as_mapping(value, at[:-1])
    kind = required_string(part, "type", at)
    if kind in {"text", "refusal"}:
        return Text(required_string(part, kind, at, empty=True))
    if kind != "image_url" or not pictures:
        raise wrong_value(at + "type", f"parts of type '{kind}' are not supported here.")
    image = as_mapping(required(part, "image_url", at), at + "image_url")
    at += "image_url."
    return picture(required_string(image, "url", at), string(image, "detail", at), at + "url")


def _call(value: Any, at: str) -> ToolCall:
    call = as_mapping(value, at[:-1])
    if call.get("type", "function") != "function":
        raise wrong_value(at + "type", "only 'function' is supported.")
    call_id = required_string(call, "id", at)
    function = as_mapping(required(call, "function", at), at + "function")
    at += "function."
    name = required_string(function, "name", at)
    return ToolCall(call_id, name, required_string(function, "arguments", at, empty=True))
