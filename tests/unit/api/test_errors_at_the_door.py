"""What clients' retry rules are told by an error, and which bodies are too deep to read."""

import pytest
from fastapi import Request

from api.errors import reply
from penstock.completion.encoding import MAX_DEPTH, check_depth
from penstock.errors import (
    Conflict,
    NotFound,
    PenstockError,
    ProviderOverloaded,
    ProviderRateLimited,
    ProviderUnauthorized,
    Unavailable,
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
