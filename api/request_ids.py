"""Every response, good or bad, carries a request id of its own."""

from typing import Any

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from penstock.ids import new_id, public_id


class RequestIds:
    """ASGI middleware that adds `x-request-id`."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> Any:
        """Pass the request on; name its response."""
        if scope["type"] != "http":
            return await self._app(scope, receive, send)
        request_id = public_id("req_", new_id()).encode()

        async def named(message: Message) -> None:
            if message["type"] == "http.response.start":
                message = {**message, "headers": [*message["headers"], (b"x-request-id", request_id)]}
            await send(message)

        return await self._app(scope, receive, named)
