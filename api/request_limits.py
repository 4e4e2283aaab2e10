"""What a request may be made of, before any route looks at it: header fields and parameters of the query."""

from fastapi import Request
from starlette.types import ASGIApp, Receive, Scope, Send

from api import errors
from api.connections import header_too_large
from penstock.configuration import HttpConfig
from penstock.errors import InvalidRequest

#: of one field beside its name and value: a colon, a space, a line's end
_FIELD_BYTES = 4


class RequestLimits:
    """ASGI middleware that refuses a request that is over the limits of `HttpConfig`; bodies are their routes' own."""

    def __init__(self, app: ASGIApp, limits: HttpConfig) -> None:
        self._app = app
        self._limits = limits

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the request on, or refuse it."""
        error = self._error(scope) if scope["type"] == "http" else None
        if error is None:
            return await self._app(scope, receive, send)
        answer = errors.reply(Request(scope), error)
        return await answer(scope, receive, send)

    def _error(self, scope: Scope) -> InvalidRequest | None:
        headers, limits = scope["headers"], self._limits
        size = sum(len(name) + len(value) + _FIELD_BYTES for name, value in headers)
        if len(headers) > limits.max_headers or size > limits.max_header_bytes:
            return header_too_large(limits)
        if scope["query_string"].count(b"&") >= limits.max_query_parameters:
            return InvalidRequest(f"The query has more than {limits.max_query_parameters} parameters.")
        return None
