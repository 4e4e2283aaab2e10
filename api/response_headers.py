"""Headers that every response carries, good or bad: a request id of its own, its time, and what a route wants told."""

import time
from typing import Any

from fastapi import Request
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from penstock.ids import new_id, public_id

_ADDED = "response_headers"


def add_headers(request: Request, headers: dict[str, str]) -> None:
    """Have headers sent with the answer to a request, also when the answer is an error."""
    request.scope.setdefault(_ADDED, {}).update(headers)


def naming_headers(request: Request) -> dict[str, str]:
    """What is sent with the answer to a request."""
    added: dict[str, str] = request.scope.get(_ADDED, {})
    return added


class ResponseHeaders:
    """ASGI middleware that adds `x-request-id`, `openai-processing-ms` and what `add_headers` was given."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> Any:
        """Pass the request on; name its response."""
        if scope["type"] != "http":
            return await self._app(scope, receive, send)
        scope[_ADDED] = {"x-request-id": public_id("req_", new_id())}
        began = time.monotonic()

        async def named(message: Message) -> None:
            if message["type"] == "http.response.start":
                added = {**scope[_ADDED], "openai-processing-ms": str(int((time.monotonic() - began) * 1000))}
                pairs = [(name.encode(), value.encode()) for name, value in added.items()]
                message = {**message, "headers": [*message["headers"], *pairs]}
            await send(message)

        return await self._app(scope, receive, named)
