"""How requests are read: a JSON object, or a clear 400."""

import re
from typing import Any

from fastapi import Request
from starlette.types import Message

from api.services import Services
from penstock.cache.policy import FIELD, TAGS_FIELD
from penstock.completion.encoding import check_depth, loads
from penstock.errors import InvalidRequest, PayloadTooLarge

_INTEGER = re.compile("-?[0-9]{1,18}")


async def json_object(request: Request, *, may_be_empty: bool = False) -> dict[str, Any]:
    """The body of a request; an empty object for none at all, where that is allowed.

    Raises:
        InvalidRequest: it is not a JSON object, or one nested too deeply.
        PayloadTooLarge: it is larger than `http.max_body_bytes`.
    """
    services: Services = request.app.state.services
    most = services.settings.config.http.max_body_bytes
    check_declared_length(request, most)
    data = bytearray()
    async for chunk in request.stream():
        data += chunk
        if len(data) > most:
            raise too_large(most)
    if may_be_empty and not data:
        return {}
    try:
        value = loads(bytes(data))
    except ValueError:
        raise InvalidRequest("We could not parse the JSON body of your request.") from None
    if not isinstance(value, dict):
        raise InvalidRequest("The JSON body of your request must be an object.")
    try:
        check_depth(value)
    except ValueError as error:
        raise InvalidRequest(f"The body of your request cannot be read: {error}.") from None
    return value


async def completion_body(request: Request) -> dict[str, Any]:
    """As `json_object`, for a request to a model: headers about the cache become fields of it, to be stored."""
    body = await json_object(request)
    for field, name in ((FIELD, "x-penstock-cache"), (TAGS_FIELD, "x-penstock-cache-tags")):
        value = request.headers.get(name)
        if value is not None:
            body[field] = value
    return body


def check_declared_length(request: Request, most: int) -> None:
    """Refuse a body before it is sent, where its length is told.

    Raises:
        PayloadTooLarge: it is said to have more than `most` bytes.
    """
    declared = request.headers.get("content-length", "")
    if declared.isdecimal() and (len(declared) > 18 or int(declared) > most):
        raise too_large(most)


def bounded(request: Request, most: int) -> Request:
    """The same request, with a body that raises `PayloadTooLarge` past `most` bytes, whatever length was declared."""
    seen = 0

    async def receive() -> Message:
        nonlocal seen
        message = await request.receive()
        seen += len(message.get("body", b""))
        if seen > most:
            raise too_large(most)
        return message

    return Request(request.scope, receive)


def too_large(most: int) -> PayloadTooLarge:
    """The error for a body of more than `most` bytes."""
    return PayloadTooLarge(f"The request is larger than the limit of {most} bytes.")


def wants_usage(body: dict[str, Any]) -> bool:
    """Whether OpenAI's `stream_options` ask for a last chunk with the usage."""
    options = body.get("stream_options")
    return isinstance(options, dict) and bool(options.get("include_usage"))


def query_integer(request: Request, name: str, default: int | None, *, low: int, high: int) -> int | None:
    """An integer of the query string.

    Raises:
        InvalidRequest: it is not an integer, or outside `low` to `high`.
    """
    text = request.query_params.get(name)
    if text is None:
        return default
    if not _INTEGER.fullmatch(text):
        raise InvalidRequest(f"'{name}' must be an integer.", param=name, code="invalid_type")
    value = int(text)
    if not low <= value <= high:
        raise InvalidRequest(f"'{name}' must be between {low} and {high}.", param=name, code="invalid_value")
    return value


def query_word(request: Request, name: str, allowed: tuple[str, ...]) -> str:
    """One word out of a few in the query string; the first of them where it is left out.

    Raises:
        InvalidRequest: it is none of them.
    """
    text = request.query_params.get(name, allowed[0])
    if text not in allowed:
        raise InvalidRequest(f"'{name}' must be one of {', '.join(allowed)}.", param=name, code="invalid_value")
    return text
