"""A conversation as the `contents` of Google's generateContent.

Passed over are only hints that change no promise: the `name` of a message, the `detail` of an image, the `filename` of
a document, and thoughts without the vendor's seal, of which it reads nothing. Written from the vendor's reference
(ai.google.dev/api/caching#Content) and its pages on function calling, file input methods and thought signatures.
"""

from itertools import groupby
from typing import Any
from urllib.parse import urlsplit

from penstock.completion import Document, Image, Message, Part, Reasoning, Text, ToolCall, ToolResult
from penstock.completion.encoding import loads
from penstock.errors import InvalidRequest

#: what the vendor documents for calls that have no seal, since another vendor's model made them or the caller's
#: dialect has no place for it; without any, it refuses the conversation
STAND_IN_SEAL = "skip_thought_signature_validator"

#: what a file's name says of its type, for URLs that come without
_MEDIA_TYPES = {
    "gif": "image/gif",
    "heic": "image/heic",
    "heif": "image/heif",
    "jpeg": "image/jpeg",
    "jpg": "image/jpeg",
    "pdf": "application/pdf",
    "png": "image/png",
    "txt": "text/plain",
    "webp": "image/webp",
}


def contents(messages: tuple[Message, ...], *, needs_seals: bool) -> list[dict[str, Any]]:
    """The turns, those of one role merged; system messages stand elsewhere.

    `needs_seals` says whether the model refuses calls of tools without one.

    Raises:
        InvalidRequest: the format cannot say it; `param` is `messages`.
    """
    names: dict[str, str] = {}
    said: list[tuple[str, dict[str, Any]]] = []
    for message in messages:
        if message.role == "system":
            continue
        role = "model" if message.role == "assistant" else "user"
        for part in message.parts:
            if isinstance(part, ToolCall):
                names[part.id] = part.name
            if not _is_mute(part):
                said.append((role, _part(part, names)))
    turns: list[dict[str, Any]] = []
    for role, run in groupby(said, key=lambda one: one[0]):
        parts = [part for _, part in run]
        if role == "model":
            if needs_seals:
                _stand_in(parts)
            turns.append({"role": role, "parts": parts})
            continue
        # The results of tools answer a turn together and first; what is said to them is another turn.
        results = [part for part in parts if "functionResponse" in part]
        others = [part for part in parts if "functionResponse" not in part]
        turns += [{"role": role, "parts": each} for each in (results, others) if each]
    return turns


def _stand_in(parts: list[dict[str, Any]]) -> None:
    """Of parallel calls, the vendor seals the first only, and so asks for no other."""
    calls = [part for part in parts if "functionCall" in part]
    if calls and not any("thoughtSignature" in call for call in calls):
        calls[0]["thoughtSignature"] = STAND_IN_SEAL


def _is_mute(part: Part) -> bool:
    return (isinstance(part, Text) and not part.text) or (isinstance(part, Reasoning) and part.signature is None)


def _part(part: Part, names: dict[str, str]) -> dict[str, Any]:
    if isinstance(part, Text):
        return {"text": part.text}
    if isinstance(part, Image | Document):
        return _media(part)
    if isinstance(part, Reasoning):
        thought = {} if part.redacted else {"thought": True}
        return {"text": part.text, **thought, "thoughtSignature": part.signature}
    if isinstance(part, ToolResult):
        return {"functionResponse": _tool_result(part, names)}
    call: dict[str, Any] = {"functionCall": {"id": part.id, "name": part.name, "args": _arguments(part)}}
    return call | ({"thoughtSignature": part.signature} if part.signature is not None else {})


def _tool_result(part: ToolResult, names: dict[str, str]) -> dict[str, Any]:
    name = names.get(part.call_id)
    if name is None:
        raise InvalidRequest(f"The tool result `{part.call_id}` answers no call before it.", param="messages")
    said = {"error" if part.is_error else "output": part.content}
    result: dict[str, Any] = {"id": part.call_id, "name": name, "response": said}
    if part.images:
        media = [_media(image) for image in part.images]
        if any("fileData" in one for one in media):
            raise InvalidRequest("An image in a tool's result must be base64 or a data URL.", param="messages")
        result["parts"] = media
    return result


def _arguments(call: ToolCall) -> dict[str, Any]:
    try:
        value = loads(call.arguments or "{}")
    except ValueError as error:
        raise InvalidRequest(f"The arguments of tool call `{call.id}` are not JSON.", param="messages") from error
    if not isinstance(value, dict):
        raise InvalidRequest(f"The arguments of tool call `{call.id}` are not a JSON object.", param="messages")
    return value


def _media(part: Image | Document) -> dict[str, Any]:
    what = "An image" if isinstance(part, Image) else "A document"
    data, media_type = part.data, part.media_type
    if part.url is not None and not part.url.startswith("data:"):
        media_type = media_type or _MEDIA_TYPES.get(urlsplit(part.url).path.rpartition(".")[2].lower())
        return {"fileData": {"fileUri": part.url} | ({"mimeType": media_type} if media_type else {})}
    if part.url is not None:
        head, _, data = part.url.removeprefix("data:").partition(",")
        media_type, _, coding = head.partition(";")
        if not coding.endswith("base64"):
            raise InvalidRequest(f"{what} in a data URL must be base64.", param="messages")
    if not data or not media_type:
        raise InvalidRequest(f"{what} needs a url, or base64 data and its media type.", param="messages")
    return {"inlineData": {"mimeType": media_type, "data": data}}
