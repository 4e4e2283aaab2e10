"""Whatever goes wrong leaves in the envelope of the vendor whose client is asking, with the id of the request."""

from typing import Any

import httpx
import pytest
from fastapi import FastAPI

from api.errors import add_handlers
from api.response_headers import ResponseHeaders
from penstock.errors import InvalidRequest, PayloadTooLarge, PenstockError, TierLimitExceeded, Unauthorized
from penstock.redis import RedisError

ANTHROPIC = {"anthropic-version": "2026-10-21"}
FAILURES: list[tuple[str, Exception, int, str]] = [
    ("bad", InvalidRequest("Missing 'x'.", param="x"), 400, "invalid_request_error"),
    ("keyless", Unauthorized("No key."), 401, "authentication_error"),
    ("large", PayloadTooLarge("Too large."), 413, "request_too_large"),
    ("limited", TierLimitExceeded("Slow down.", retry_after=2.4), 429, "rate_limit_error"),
    ("away", RedisError("gone"), 503, "overloaded_error"),
    ("fault", RuntimeError("a secret"), 500, "api_error"),
    ("ours", PenstockError("Broken."), 500, "api_error"),
]


@pytest.fixture
def client() -> httpx.AsyncClient:
    app = FastAPI()

    @app.get("/v1/messages/{name}")
    @app.get("/v1/models/{name}")
    async def fail(name: str) -> None:
        raise next(error for known, error, _, _ in FAILURES if known == name)

    add_handlers(app)
    app.add_middleware(ResponseHeaders)
    transport = httpx.ASGITransport(app, raise_app_exceptions=False)
    return httpx.AsyncClient(transport=transport, base_url="http://x")


@pytest.mark.parametrize(("name", "status", "kind"), [(name, status, kind) for name, _, status, kind in FAILURES])
async def test_every_failure_on_a_path_of_anthropic(client: httpx.AsyncClient, name: str, status: int, kind: str):
    answer = await client.get(f"/v1/messages/{name}")
    body = answer.json()
    assert (answer.status_code, body["type"], body["error"]["type"]) == (status, "error", kind)
    assert body["request_id"] == answer.headers["request-id"] == answer.headers["x-request-id"]
    assert "a secret" not in answer.text


async def test_when_to_ask_again_is_told(client: httpx.AsyncClient):
    headers = (await client.get("/v1/messages/limited")).headers
    assert (headers["retry-after"], headers["retry-after-ms"]) == ("2", "2400")


@pytest.mark.parametrize(
    ("path", "headers", "anthropic"),
    [
        ("/v1/messages", {}, True),
        ("/v1/messages/", {}, True),
        ("/v1/messagesque", {}, False),
        ("/v1/models/bad", {}, False),
        ("/v1/models/bad", ANTHROPIC, True),
        ("/v1/models/bad", {"anthropic-version": "2023-06-01"}, True),
        ("/v1/nonsense", {}, False),
        ("/v1/nonsense", ANTHROPIC, True),
    ],
)
async def test_the_path_says_who_asks_and_where_both_may_the_header(
    client: httpx.AsyncClient, path: str, headers: dict[str, str], anthropic: bool
):
    answer = await client.get(path, headers=headers)
    body: Any = answer.json()
    assert (body.get("type") == "error") is anthropic
    assert ("request-id" in answer.headers) is anthropic
    assert answer.headers["x-request-id"].startswith("req_")
    if not anthropic:
        assert set(body["error"]) == {"message", "type", "param", "code"}


async def test_a_method_that_a_path_does_not_have(client: httpx.AsyncClient):
    answer = await client.delete("/v1/messages/bad")
    assert (answer.status_code, answer.json()["error"]["type"]) == (405, "invalid_request_error")


async def test_a_fault_has_an_id_too(client: httpx.AsyncClient):
    answer = await client.get("/v1/models/fault")
    assert answer.status_code == 500
    assert answer.headers["x-request-id"]
