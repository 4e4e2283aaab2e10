"""The content blocks of Anthropic's messages as parts of a conversation."""

import base64
import json
from collections.abc import Callable
from typing import Any

from penstock.completion import CacheLifetime, Document, Image, Message, Part, Reasoning, Text, ToolCall, ToolResult
from penstock.dialects.fields import (
    as_mapping,
    boolean,
    missing,
    required,
    required_string,
    string,
    wrong_type,
    wrong_value,
)

_ROLES = ("user", "assistant", "system")
_Reader = Callable[[dict[str, Any], str], Part]


def read_messages(values: list[Any]) -> list[Message]:
    """The conversation, in which messages of one role that follow each other are one turn, as at the vendor.

    Results of tools become a message of their own, before what the user says beside them.

    Raises:
        InvalidRequest: something in it is wrong; `param` is its path, such as `messages[0].role`.
    """
    turns: list[tuple[str, list[Part]]] = []
    for index, value in enumerate(values):
        role, parts = _message(value, f"messages[{index}].")
        if turns and turns[-1][0] == role:
            turns[-1][1].extend(parts)
        else:
            turns.append((role, list(parts)))
    return [message for role, parts in turns for message in _turn(role, parts)]


def read_system(value: Any) -> Message | None:
    """The system prompt, a string or text blocks; None where it says nothing.

    Raises:
        InvalidRequest: it is something else.
    """
    if not value and isinstance(value, str | list | None):
        return None
    return Message("system", _parts(value, "system", _SYSTEM))


def cache_of(block: dict[str, Any]) -> CacheLifetime | None:
    """What a block's `cache_control` asks for. It is a hint: one that says something else is passed over."""
    control = block.get("cache_control")
    if not isinstance(control, dict) or control.get("type") != "ephemeral":
        return None
    return "1h" if control.get("ttl") == "1h" else "5m"


def _message(value: Any, at: str) -> tuple[str, tuple[Part, ...]]:
    message = as_mapping(value, at[:-1])
    role = required_string(message, "role", at)
    if role not in _ROLES:
        raise wrong_value(at + "role", f"use one of {', '.join(_ROLES)}.")
    content = message.get("content")
    if role == "assistant" and content == []:
        content = ""
    elif content is None:
        raise missing(at + "content")
    return role, _parts(content, at + "content", _READERS[role])


def _turn(role: str, parts: list[Part]) -> list[Message]:
    results = tuple([part for part in parts if isinstance(part, ToolResult)])
    if not results:
        return [Message(role, tuple(parts))]  # type: ignore[arg-type]  # one of _ROLES
    said = tuple([part for part in parts if not isinstance(part, ToolResult)])
    return [Message("tool", results), *([Message("user", said)] if said else ())]


def _parts(content: Any, at: str, readers: dict[str, _Reader]) -> tuple[Part, ...]:
    if isinstance(content, str):
        return (Text(content),)
    if not isinstance(content, list):
        raise wrong_type(at, "a string or an array of content blocks")
    if not content:
        raise wrong_value(at, "it is empty.")
    return tuple([_part(block, f"{at}[{index}].", readers) for index, block in enumerate(content)])


def _part(value: Any, at: str, readers: dict[str, _Reader]) -> Part:
    block = as_mapping(value, at[:-1])
    kind = required_string(block, "type", at)
    reader = readers.get(kind)
    if reader is None:
        raise wrong_value(at + "type", f"blocks of type '{kind}' are not supported here.")
    return reader(block, at)


def _text(block: dict[str, Any], at: str) -> Text:
    return Text(required_string(block, "text", at, empty=True), cache_of(block))


def _image(block: dict[str, Any], at: str) -> Image:
    source = as_mapping(required(block, "source", at), at + "source")
    at += "source."
    kind = required_string(source, "type", at)
    cache = cache_of(block)
    if kind == "url":
        return Image(url=_url(source, at), cache=cache)
    if kind != "base64":
        raise wrong_value(at + "type", f"sources of type '{kind}' are not supported; use base64 or url.")
    media_type = required_string(source, "media_type", at)
    return Image(data=required_string(source, "data", at), media_type=media_type, cache=cache)


def _document(block: dict[str, Any], at: str) -> Document:
    title, cache = string(block, "title", at), cache_of(block)
    source = as_mapping(required(block, "source", at), at + "source")
    at += "source."
    kind = required_string(source, "type", at)
    if kind == "url":
        return Document(url=_url(source, at), filename=title, cache=cache)
    if kind == "base64":
        data, media_type = required_string(source, "data", at), required_string(source, "media_type", at)
    elif kind == "text":
        data, media_type = _base64(required_string(source, "data", at)), "text/plain"
    elif kind == "content":
        texts = _parts(required(source, "content", at), at + "content", _ONLY_TEXT)
        data, media_type = _base64("\n".join(part.text for part in texts if isinstance(part, Text))), "text/plain"
    else:
        raise wrong_value(at + "type", f"sources of type '{kind}' are not supported; use base64, text, content or url.")
    return Document(data=data, media_type=media_type, filename=title, cache=cache)


def _url(source: dict[str, Any], at: str) -> str:
    url = required_string(source, "url", at)
    if not url.startswith(("http://", "https://")):
        raise wrong_value(at + "url", "it must be an http or https URL.")
    return url


def _base64(text: str) -> str:
    return base64.b64encode(text.encode("utf-8", "replace")).decode("ascii")


def _tool_use(block: dict[str, Any], at: str) -> ToolCall:
    arguments = as_mapping(required(block, "input", at), at + "input")
    # As the model would write it: escapes of what is not ASCII would cost it tokens.
    written = json.dumps(arguments, ensure_ascii=False, separators=(",", ":"))
    call_id, name = required_string(block, "id", at), required_string(block, "name", at)
    return ToolCall(call_id, name, written, cache=cache_of(block))


def _tool_result(block: dict[str, Any], at: str) -> ToolResult:
    call_id, content = required_string(block, "tool_use_id", at), block.get("content")
    is_error, cache = boolean(block, "is_error", at) or False, cache_of(block)
    parts = _parts(content, at + "content", _RESULT) if content else ()
    # Each block is a text of its own: glued together, two names would read as one.
    text = "\n".join(part.text for part in parts if isinstance(part, Text))
    images = tuple([part for part in parts if isinstance(part, Image)])
    return ToolResult(call_id, text, images, is_error=is_error, cache=cache)


def _thinking(block: dict[str, Any], at: str) -> Reasoning:
    """Thoughts of a model that seals none have an empty signature here, which is no seal."""
    thinking = required_string(block, "thinking", at, empty=True)
    return Reasoning(thinking, string(block, "signature", at) or None)


def _redacted(block: dict[str, Any], at: str) -> Reasoning:
    return Reasoning("", required_string(block, "data", at), redacted=True)


_ONLY_TEXT: dict[str, _Reader] = {"text": _text}
_SYSTEM = _ONLY_TEXT
_RESULT: dict[str, _Reader] = {"text": _text, "image": _image}
_READERS: dict[str, dict[str, _Reader]] = {
    "system": _SYSTEM,
    "user": {"text": _text, "image": _image, "document": _document, "tool_result": _tool_result},
    "assistant": {"text": _text, "tool_use": _tool_use, "thinking": _thinking, "redacted_thinking": _redacted},
}
