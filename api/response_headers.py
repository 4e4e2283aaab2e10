"""Headers that every response carries, good or bad: a request id of its own, its time, and what a route wants told."""

import time
from typing import Any

from fastapi import Request
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from api.vendors import speaks_anthropic
from penstock.ids import new_id, public_id

_ADDED = "response_headers"
_REQUEST_ID = "request_id"
_BEGAN = "request_began"


def add_headers(request: Request, headers: dict[str, str]) -> None:
    """Have headers sent with the answer to a request, also when the answer is an error."""
    request.scope.setdefault(_ADDED, {}).update(headers)


def begin(scope: Scope) -> Scope:
    """Name a request and start its clock; returns its scope."""
    scope[_REQUEST_ID] = public_id("req_", new_id())
    scope[_BEGAN] = time.monotonic()
    return scope


def request_id(request: Request) -> str:
    """The id by which the answer to a request names it."""
    found: str = request.scope[_REQUEST_ID]
    return found


def naming_headers(request: Request) -> dict[str, str]:
    """What the middleware adds, for an answer that does not pass through it."""
    return _headers(request.scope)


class ResponseHeaders:
    """ASGI middleware that adds `x-request-id`, what each vendor's clients read too, and what `add_headers` got."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> Any:
        """Pass the request on; name its response."""
        if scope["type"] != "http":
            return await self._app(scope, receive, send)
        begin(scope)

        async def named(message: Message) -> None:
            if message["type"] == "http.response.start":
                pairs = [(name.encode(), value.encode()) for name, value in _headers(scope).items()]
                message = {**message, "headers": [*message["headers"], *pairs]}
            await send(message)

        return await self._app(scope, receive, named)


def _headers(scope: Scope) -> dict[str, str]:
    named = {"x-request-id": scope[_REQUEST_ID]}
    if speaks_anthropic(scope):
        named["request-id"] = scope[_REQUEST_ID]
    else:
        named["openai-processing-ms"] = str(int((time.monotonic() - scope[_BEGAN]) * 1000))
    return {**named, **scope.get(_ADDED, {})}
