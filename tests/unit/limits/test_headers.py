"""Vendors' rate-limit headers."""

from datetime import UTC, datetime

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st

from penstock.limits.headers import left

NOW = datetime(2026, 11, 25, 12, 0, 0, tzinfo=UTC)


@pytest.mark.parametrize(
    ("headers", "found"),
    [
        ({}, {}),
        (
            {
                "x-ratelimit-limit-requests": "500",
                "X-RateLimit-Remaining-Requests": "499",
                "x-ratelimit-reset-requests": "120ms",
                "x-ratelimit-remaining-tokens": "29500",
                "x-ratelimit-reset-tokens": "1m0.5s",
            },
            {"requests": 499, "tokens": 29500},
        ),
        (
            {
                "anthropic-ratelimit-requests-remaining": "3",
                "anthropic-ratelimit-requests-reset": "2026-11-25T12:00:58Z",
                "anthropic-ratelimit-input-tokens-remaining": "38000",
                "anthropic-ratelimit-output-tokens-remaining": "7000",
                "anthropic-ratelimit-output-tokens-reset": "2026-11-25T12:00:30+00:00",
            },
            {"requests": 3, "input_tokens": 38000, "output_tokens": 7000},
        ),
        ({"x-ratelimit-remaining-requests": "0", "x-ratelimit-reset-requests": "7.66s"}, {"requests": 0}),
        ({"x-ratelimit-remaining-tokens": "-1"}, {}),
        ({"x-ratelimit-remaining-tokens": "many"}, {}),
        ({"x-ratelimit-remaining-tokens": "nan"}, {}),
    ],
)
def test_what_is_left(headers: dict[str, str], found: dict[str, float]) -> None:
    assert left(httpx.Headers(headers), NOW) == found


@pytest.mark.parametrize("reset", ["2m59.56s", "24h", "86400", "1d", "2026-11-26T00:00:00Z"])
def test_a_days_quota_says_nothing_of_this_minute(reset: str) -> None:
    headers = {"x-ratelimit-remaining-requests": "14370", "x-ratelimit-reset-requests": reset}
    assert left(headers, NOW) == {}


@pytest.mark.parametrize("reset", ["soon", "2026-11-25T12:00:58", "1x", ""])
def test_a_reset_that_cannot_be_read_is_passed_over(reset: str) -> None:
    headers = {"x-ratelimit-remaining-requests": "7", "x-ratelimit-reset-requests": reset}
    assert left(headers, NOW) == {"requests": 7}


@given(st.text(max_size=20), st.text(max_size=20))
def test_nothing_a_provider_sends_breaks_it(remaining: str, reset: str) -> None:
    found = left({"x-ratelimit-remaining-tokens": remaining, "x-ratelimit-reset-tokens": reset}, NOW)
    assert all(value >= 0 for value in found.values())
