"""Every text of a request that a provider would see, in an order that does not change as a conversation grows.

What stands beside the messages comes first and the messages follow in their order, so the first n texts of a
conversation stay the first n when a turn is added. What is hidden in them then keeps its name, and a provider's prompt
cache and the seals on its earlier thoughts stay good.

Not read: names and ids (they are identifiers, not text), keys of objects, addresses and data of pictures, documents
that are not plain text, prompts given as tokens.
"""

import base64
import binascii
from collections.abc import Callable
from dataclasses import replace
from typing import Any

from penstock.completion import (
    CompletionRequest,
    Document,
    EmbeddingRequest,
    Image,
    Message,
    Part,
    Reasoning,
    Text,
    ToolCall,
    ToolResult,
)
from penstock.completion.encoding import dumps, loads
from penstock.configuration.policies import Place

#: given a text and where it stands, what stands there instead
Visit = Callable[[str, Place], str]
_Request = CompletionRequest | EmbeddingRequest
_TEXT_DOCUMENT = "text/plain"
#: no number that means a person has fewer digits
_SHORTEST_NUMBER = 7


def visit_texts(request: _Request, visit: Visit) -> _Request:
    """The request with every text replaced by what `visit` gives for it."""
    if isinstance(request, EmbeddingRequest):
        return replace(
            request,
            user=_optional(request.user, visit),
            extra=_json(request.extra, visit, "parameter"),
            inputs=tuple(visit(text, "user") if isinstance(text, str) else text for text in request.inputs),
        )
    form = request.response_format
    tools = [
        replace(tool, description=_optional(tool.description, visit), parameters=_json(tool.parameters, visit))
        for tool in request.tools
    ]
    return replace(
        request,
        tools=tuple(tools),
        response_format=replace(form, schema=_json(form.schema, visit)) if form is not None and form.schema else form,
        user=_optional(request.user, visit),
        stop=tuple(visit(text, "parameter") for text in request.stop),
        extra=_json(request.extra, visit),
        responses_only=_json(request.responses_only, visit),
        messages=_messages(request.messages, visit),
        others=tuple(_messages(messages, visit) for messages in request.others),
    )


def has_unreadable(request: CompletionRequest | EmbeddingRequest) -> bool:
    """Whether part of the request cannot be read here."""
    if isinstance(request, EmbeddingRequest):
        return not all(isinstance(text, str) for text in request.inputs)
    return any(
        isinstance(part, Image)
        or (isinstance(part, Document) and not _is_text(part))
        or (isinstance(part, ToolResult) and bool(part.images))
        for messages in (request.messages, *request.others)
        for message in messages
        for part in message.parts
    )


def _messages(messages: tuple[Message, ...], visit: Visit) -> tuple[Message, ...]:
    return tuple(
        replace(message, parts=tuple(_part(part, message.role, visit) for part in message.parts))
        for message in messages
    )


def _part(part: Part, place: Place, visit: Visit) -> Part:
    if isinstance(part, Text | Reasoning):
        return replace(part, text=visit(part.text, place))
    if isinstance(part, ToolCall):
        return replace(part, arguments=json_text(part.arguments, visit, place))
    if isinstance(part, ToolResult):
        return replace(part, content=visit(part.content, "tool"))
    if isinstance(part, Document) and _is_text(part):
        return replace(part, data=_document(part.data or "", place, visit))
    return part


def _is_text(document: Document) -> bool:
    return document.media_type == _TEXT_DOCUMENT and document.data is not None


def _document(data: str, place: Place, visit: Visit) -> str:
    try:
        text = base64.b64decode(data, validate=True).decode("utf-8")
    except (binascii.Error, UnicodeDecodeError):
        return visit(data, place)
    seen = visit(text, place)
    return data if seen == text else base64.b64encode(seen.encode("utf-8", "surrogatepass")).decode("ascii")


def _optional(text: str | None, visit: Visit) -> str | None:
    return None if text is None else visit(text, "parameter")


def json_text(text: str, visit: Visit, place: Place) -> str:
    """JSON in a string: what it says is visited value by value, so that it stays JSON."""
    try:
        value = loads(text)
    except ValueError:
        return visit(text, place)
    seen = _json(value, visit, place)
    return text if seen == value else dumps(seen).decode("ascii")


def _json(value: Any, visit: Visit, place: Place = "parameter") -> Any:
    if isinstance(value, str):
        return visit(value, place)
    if isinstance(value, dict):
        return {name: _json(inner, visit, place) for name, inner in value.items()}
    if isinstance(value, list):
        return [_json(inner, visit, place) for inner in value]
    if isinstance(value, int) and abs(value) >= 10 ** (_SHORTEST_NUMBER - 1):
        text = str(value)
        seen = visit(text, place)
        return value if seen == text else seen
    return value
