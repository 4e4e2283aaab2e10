"""What clients' retry rules are told by an error, and which bodies are too deep to read."""

import httpx
import pytest
from fastapi import FastAPI, Request

from api.errors import add_handlers, reply
from api.paths import TrailingSlash
from api.response_headers import ResponseHeaders
from penstock.completion.encoding import MAX_DEPTH, check_depth
from penstock.errors import (
    Conflict,
    NotFound,
    PenstockError,
    ProviderOverloaded,
    ProviderRateLimited,
    ProviderUnauthorized,
    Unavailable,
    Unstorable,
    error_to_json,
    stored_error,
)

REQUEST = Request({"type": "http", "method": "GET", "path": "/v1/models", "headers": []})


def waits(seconds: float | None) -> PenstockError:
    return ProviderRateLimited("slow", retry_after=seconds)


@pytest.mark.parametrize("stored", [False, True], ids=["raised", "stored"])
@pytest.mark.parametrize(
    ("error", "told"),
    [
        (waits(None), {"retry-after": "1", "retry-after-ms": "1000"}),
        (waits(0.25), {"retry-after": "1", "retry-after-ms": "250"}),
        (waits(0.0), {"retry-after": "1", "retry-after-ms": "1000"}),
        (waits(7), {"retry-after": "7", "retry-after-ms": "7000"}),
        (waits(3600), {"retry-after": "120", "retry-after-ms": "120000"}),
        (Unavailable("away"), {"retry-after": "1", "retry-after-ms": "1000"}),
        (ProviderRateLimited("paid up?", code="insufficient_quota"), {"x-should-retry": "false"}),
        (ProviderUnauthorized("our key"), {"x-should-retry": "false"}),
        (Conflict("other"), {"x-should-retry": "false"}),
        (ProviderOverloaded("ill"), {}),
        (NotFound("gone"), {}),
    ],
)
def test_retry_rules(error: PenstockError, told: dict[str, str], stored: bool):
    headers = reply(REQUEST, stored_error(error_to_json(error)) if stored else error).headers
    names = ("retry-after", "retry-after-ms", "x-should-retry")
    assert {name: headers[name] for name in names if name in headers} == told


@pytest.mark.parametrize("kind", ["array", "object"])
def test_depth(kind: str):
    value: object = 1
    for _ in range(MAX_DEPTH):
        value = [value] if kind == "array" else {"a": value}
    check_depth({"b": [1], **value} if isinstance(value, dict) else value)
    with pytest.raises(ValueError, match="deep"):
        check_depth([value])


@pytest.mark.parametrize(
    ("error", "status"), [(KeyError("ours"), 500), (Unstorable("NUL"), 400), (NotFound("gone"), 404)]
)
async def test_every_error_is_named_and_in_the_envelope(error: Exception, status: int):
    app = FastAPI()

    @app.get("/broken")
    def broken() -> None:
        raise error

    add_handlers(app)
    app.add_middleware(TrailingSlash)
    app.add_middleware(ResponseHeaders)
    transport = httpx.ASGITransport(app, raise_app_exceptions=False)
    async with httpx.AsyncClient(transport=transport, base_url="http://api") as client:
        answers = [await client.get(path) for path in ("/broken", "/broken/")]
    assert [answer.status_code for answer in answers] == [status, status]
    assert len({answer.headers["x-request-id"] for answer in answers}) == 2
    for answer in answers:
        assert set(answer.json()["error"]) == {"message", "type", "param", "code"}
        assert "ours" not in answer.text
