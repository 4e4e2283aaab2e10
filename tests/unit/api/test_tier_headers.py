"""What a tier has left, in the names of the vendor whose client is asking."""

from datetime import UTC, datetime

from api.tier_limits import anthropic_headers, openai_headers
from penstock.limits.buckets import BucketState, TokenBucket, Tokens


def state(resource: str, per_minute: int, level: float) -> BucketState:
    bucket = TokenBucket("tier", resource, per_minute, 60.0)  # type: ignore[arg-type]
    return BucketState(bucket, level, bucket.rate, bucket.capacity)


STATES = [state("requests", 60, 60.0), state("tokens", 6000, 500.0)]


def test_openai() -> None:
    headers = openai_headers(STATES, Tokens(100))
    assert (headers["x-ratelimit-limit-requests"], headers["x-ratelimit-remaining-requests"]) == ("60", "59")
    assert headers["x-ratelimit-remaining-tokens"] == "400"
    assert headers["x-ratelimit-reset-tokens"] == "56s"


def test_anthropic() -> None:
    headers = anthropic_headers(STATES, Tokens(100), datetime(2026, 10, 21, 23, 59, 30, 999, tzinfo=UTC))
    assert (headers["anthropic-ratelimit-requests-limit"], headers["anthropic-ratelimit-requests-remaining"]) == (
        "60",
        "59",
    )
    assert headers["anthropic-ratelimit-tokens-remaining"] == "400"
    assert headers["anthropic-ratelimit-tokens-reset"] == "2026-10-22T00:00:26Z"
    for kind in ("input-tokens", "output-tokens"):
        for field in ("limit", "remaining", "reset"):
            assert headers[f"anthropic-ratelimit-{kind}-{field}"] == headers[f"anthropic-ratelimit-tokens-{field}"]
