"""Errors at the door: everything that goes wrong leaves in the envelope of the vendor whose client is asking."""

import math

import structlog
from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import Response
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect

from api.replies import json_reply
from api.response_headers import naming_headers, request_id
from api.vendors import speaks_anthropic
from penstock.dialects import anthropic_messages, openai_errors
from penstock.errors import InvalidRequest, NotFound, PenstockError, Unavailable, Unstorable, error_to_json
from penstock.redis import RedisError

_log = structlog.get_logger()


def add_handlers(app: FastAPI) -> None:
    """Answer every exception in an envelope; nothing leaves as a framework's own page."""
    app.add_exception_handler(PenstockError, _penstock)
    app.add_exception_handler(HTTPException, _http)
    app.add_exception_handler(RequestValidationError, _validation)
    app.add_exception_handler(Unstorable, _unstorable)
    app.add_exception_handler(RedisError, _away)
    app.add_exception_handler(ClientDisconnect, _gone)
    app.add_exception_handler(Exception, _fault)


def reply(request: Request, error: PenstockError) -> Response:
    """An error as an HTTP response."""
    headers = {}
    if error.hopeless or error.code == "insufficient_quota":
        headers = {"x-should-retry": "false"}
    elif error.retry_after is not None or error.status in {429, 503}:
        # more than two minutes makes the OpenAI SDK give up at once, and Anthropic's sleep that long
        wait = min(max(error.retry_after or 1.0, 0.001), 120.0)
        headers = {"retry-after": str(max(1, round(wait))), "retry-after-ms": str(math.ceil(wait * 1000))}
    told = error_to_json(error)
    if speaks_anthropic(request.scope):
        body = anthropic_messages.render_error(told, request_id(request))
    else:
        body = openai_errors.envelope(told)
    return json_reply(body, status=error.status, headers=headers)


async def _penstock(request: Request, error: Exception) -> Response:
    assert isinstance(error, PenstockError)
    return reply(request, error)


async def _http(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    if error.status_code == 404:
        return reply(request, NotFound(f"Invalid URL ({request.method} {request.url.path})", code="unknown_url"))
    wrong = InvalidRequest(str(error.detail))
    wrong.status = error.status_code
    return reply(request, wrong)


async def _validation(request: Request, error: Exception) -> Response:
    assert isinstance(error, RequestValidationError)
    problem = error.errors()[0]
    param = ".".join(str(part) for part in problem["loc"][1:]) or None
    wrong = InvalidRequest(f"Invalid value for '{param}': {problem['msg']}", param=param, code="invalid_value")
    return reply(request, wrong)


async def _unstorable(request: Request, _: Exception) -> Response:
    return reply(request, InvalidRequest("The request holds a character or a number that cannot be stored."))


async def _away(request: Request, error: Exception) -> Response:
    _log.warning("a server is away", path=request.url.path, error=f"{type(error).__name__}: {error}"[:300])
    return reply(request, Unavailable("The service is temporarily unavailable; nothing was taken. Ask again."))


async def _gone(request: Request, _: Exception) -> Response:
    """The client hung up before its body was whole: nothing was taken, and nobody reads this."""
    _log.info("a client hung up while it sent its request", path=request.url.path)
    return reply(request, InvalidRequest("The connection was closed before the request was whole."))


async def _fault(request: Request, error: Exception) -> Response:
    """The framework answers these outside of every middleware."""
    _log.error("a fault of Penstock's own", path=request.url.path, exc_info=error)
    answer = reply(request, PenstockError("The server had an error while processing your request."))
    answer.headers.update(naming_headers(request))
    return answer
