"""The messages of a chat completion.

The format has no place for thoughts and seals. Thoughts stand in `reasoning_content`, as with most servers of this
format; sealed ones also in `reasoning_details` (OpenRouter's form), and the seal of a call in its `extra_content`
(Google's form). A client that sends an answer's message back as it came returns them.
"""

from collections.abc import Callable
from typing import Any

from penstock.completion import Message, Part, Reasoning, Text, ToolCall, ToolResult
from penstock.dialects.fields import (
    array,
    as_mapping,
    mapping,
    missing,
    required,
    required_string,
    string,
    wrong_type,
    wrong_value,
)
from penstock.dialects.openai_fields import document, picture


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
    return Message("system", _parts(required(value, "content", at), at, media=False), string(value, "name", at))


def _user(value: dict[str, Any], at: str) -> Message:
    return Message("user", _parts(required(value, "content", at), at, media=True), string(value, "name", at))


def _assistant(value: dict[str, Any], at: str) -> Message:
    thoughts = _thoughts(value, at)
    content, refusal, calls = value.get("content"), string(value, "refusal", at), array(value, "tool_calls", at)
    parts: tuple[Part, ...] = ()
    if content:
        parts = _parts(content, at, media=False)
    elif content is not None and not isinstance(content, str | list):
        raise wrong_type(at + "content", "a string or an array")
    elif refusal:
        parts = (Text(refusal),)
    elif not calls:
        if content is None:
            raise missing(at + "content")
        parts = (Text(""),)
    parts = (*thoughts, *parts)
    parts += tuple(_call(call, f"{at}tool_calls[{index}].") for index, call in enumerate(calls or ()))
    return Message("assistant", parts, string(value, "name", at))


def _tool(value: dict[str, Any], at: str) -> Message:
    parts = _parts(required(value, "content", at), at, media=False)
    text = "".join(part.text for part in parts if isinstance(part, Text))
    return Message("tool", (ToolResult(required_string(value, "tool_call_id", at), text),))


_READERS: dict[str, Callable[[dict[str, Any], str], Message]] = {
    "system": _system,
    "developer": _system,
    "user": _user,
    "assistant": _assistant,
    "tool": _tool,
}


def _parts(content: Any, at: str, *, media: bool) -> tuple[Part, ...]:
    if isinstance(content, str):
        return (Text(content),)
    if not isinstance(content, list):
        raise wrong_type(at + "content", "a string or an array")
    if not content:
        raise wrong_value(at + "content", "it is empty.")
    return tuple([_part(part, f"{at}content[{index}].", media) for index, part in enumerate(content)])


def _part(value: Any, at: str, media: bool) -> Part:
    part = as_mapping(value, at[:-1])
    kind = required_string(part, "type", at)
    if kind in {"text", "refusal"}:
        return Text(required_string(part, kind, at, empty=True))
    if kind not in {"image_url", "file"} or not media:
        raise wrong_value(at + "type", f"parts of type '{kind}' are not supported here.")
    if kind == "file":
        return document(as_mapping(required(part, "file", at), at + "file"), at + "file.")
    image = as_mapping(required(part, "image_url", at), at + "image_url")
    at += "image_url."
    return picture(required_string(image, "url", at), string(image, "detail", at), at + "url")


def _call(value: Any, at: str) -> ToolCall:
    call = as_mapping(value, at[:-1])
    if call.get("type", "function") != "function":
        raise wrong_value(at + "type", "only 'function' is supported.")
    call_id = required_string(call, "id", at)
    function = as_mapping(required(call, "function", at), at + "function")
    name = required_string(function, "name", at + "function.")
    arguments = required_string(function, "arguments", at + "function.", empty=True)
    google = (mapping(call, "extra_content", at) or {}).get("google")
    seal = google.get("thought_signature") if isinstance(google, dict) else None
    return ToolCall(call_id, name, arguments, seal if isinstance(seal, str) else None)


def _thoughts(value: dict[str, Any], at: str) -> tuple[Reasoning, ...]:
    """Sealed thoughts where there are any; details of other kinds mean nothing here."""
    text = string(value, "reasoning_content", at)
    details = [detail for detail in array(value, "reasoning_details", at) or () if isinstance(detail, dict)]
    sealed = [thought for detail in details if (thought := _sealed(detail)) is not None]
    return tuple(sealed) or ((Reasoning(text),) if text else ())


def _sealed(detail: dict[str, Any]) -> Reasoning | None:
    text, seal = detail.get("text"), detail.get("signature")
    if detail.get("type") == "reasoning.text" and isinstance(text, str) and isinstance(seal, str):
        return Reasoning(text, seal)
    data = detail.get("data")
    if detail.get("type") == "reasoning.encrypted" and isinstance(data, str):
        return Reasoning("", data, redacted=True)
    return None
