"""The messages of OpenAI's chat completions.

A tool's message holds text only. Pictures that a tool gave therefore follow in a message of the user, after the last
tool's message of the turn (they must stand together), led by a line that names the call they belong to.
"""

from typing import Any

from penstock.catalogue import Quirks
from penstock.completion import Document, Image, Message, Part, Reasoning, Text, ToolCall, ToolResult
from penstock.completion.encoding import loads
from penstock.errors import InvalidRequest
from penstock.providers.data_urls import as_data_url, filename

_FAILED = "The tool failed."


def wire_messages(messages: tuple[Message, ...], quirks: Quirks) -> list[dict[str, Any]]:
    """The conversation in the wire's messages: each tool result is one of its own, before what its message says.

    Raises:
        InvalidRequest: a picture or document where the format has none, or one that it cannot hold.
    """
    wire: list[dict[str, Any]] = []
    shown: list[ToolResult] = []
    for message in messages:
        results = [part for part in message.parts if isinstance(part, ToolResult)]
        wire += [_result(part) for part in results]
        shown += [part for part in results if part.images]
        if results and len(results) == len(message.parts):
            continue
        if shown:
            wire.append(_pictures(shown))
            shown = []
        wire.append(_own(message, quirks))
    return [*wire, _pictures(shown)] if shown else wire


def _result(part: ToolResult) -> dict[str, Any]:
    """An empty result of a tool that failed would read as a success."""
    content = part.content or (_FAILED if part.is_error else "")
    return {"role": "tool", "tool_call_id": part.call_id, "content": content}


def _pictures(results: list[ToolResult]) -> dict[str, Any]:
    content: list[dict[str, Any]] = []
    for part in results:
        content.append({"type": "text", "text": f"Images from the result of tool call {part.call_id}:"})
        content += [_image(image) for image in part.images]
    return {"role": "user", "content": content}


def _own(message: Message, quirks: Quirks) -> dict[str, Any]:
    """What a message says besides the results of tools."""
    said = [part for part in message.parts if isinstance(part, Text | Image | Document)]
    calls = [part for part in message.parts if isinstance(part, ToolCall)]
    if message.role in {"system", "assistant"} and not all(isinstance(part, Text) for part in said):
        raise InvalidRequest(
            f"A message of role `{message.role}` cannot hold an image or a document.", param="messages"
        )
    own: dict[str, Any] = {"role": "user" if message.role == "tool" else message.role, "content": _content(said)}
    if message.name is not None and "name" not in quirks.dropped:
        own["name"] = message.name
    if calls:
        own["content"] = own["content"] or None
        own["tool_calls"] = [
            {"id": call.id, "type": "function", "function": {"name": call.name, "arguments": call.arguments}}
            for call in calls
        ]
    if message.role == "assistant" and quirks.reasoning_field is not None:
        _add_thoughts(own, message.parts, quirks.reasoning_field)
    return own


def _content(parts: list[Text | Image | Document]) -> str | list[dict[str, Any]]:
    """A string where that says it all: not every server knows the list of parts."""
    if not parts:
        return ""
    if len(parts) == 1 and isinstance(parts[0], Text):
        return parts[0].text
    return [_part(part) for part in parts]


def _part(part: Text | Image | Document) -> dict[str, Any]:
    if isinstance(part, Text):
        return {"type": "text", "text": part.text}
    return _image(part) if isinstance(part, Image) else _file(part)


def _image(image: Image) -> dict[str, Any]:
    url = image.url or as_data_url(image)
    return {"type": "image_url", "image_url": {"url": url} | ({"detail": image.detail} if image.detail else {})}


def _file(document: Document) -> dict[str, Any]:
    """The format takes a document's bytes, not its address."""
    if document.url is not None and not document.url.startswith("data:"):
        raise InvalidRequest("A document must be sent as base64 data to the model's provider.", param="messages")
    file = {"filename": filename(document), "file_data": document.url or as_data_url(document)}
    return {"type": "file", "file": file}


def _add_thoughts(own: dict[str, Any], parts: tuple[Part, ...], field: str) -> None:
    thoughts = [part for part in parts if isinstance(part, Reasoning)]
    text = "\n\n".join(part.text for part in thoughts if part.text)
    if field == "thinking" and thoughts:
        content = own["content"] or []
        said = [{"type": "text", "text": content}] if isinstance(content, str) else content
        own["content"] = [*(_thinking(part) for part in thoughts), *said]
    elif field == "reasoning_details" and (details := [each for part in thoughts for each in _details(part)]):
        own[field] = details
    elif text:
        own["reasoning" if field == "reasoning_details" else field] = text


def _thinking(part: Reasoning) -> dict[str, Any]:
    block = {"type": "thinking", "thinking": [{"type": "text", "text": part.text}]}
    return block | ({"signature": part.signature} if part.signature else {})


def _details(part: Reasoning) -> list[dict[str, Any]]:
    """The details that the seal of this format is (see `ChatReader`); another vendor's seal is none."""
    try:
        value = loads(part.signature or "[]")
    except ValueError:
        return []
    return value if isinstance(value, list) and all(isinstance(each, dict) for each in value) else []
