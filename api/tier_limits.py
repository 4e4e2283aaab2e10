"""What a tenant's tier allows a call with a client waiting: refused here before anything is stored, and always told."""

import math
from datetime import UTC, datetime, timedelta

from fastapi import Request

from api.auth import Principal
from api.response_headers import add_headers
from api.services import Services
from api.vendors import speaks_anthropic
from penstock.errors import TierLimitExceeded
from penstock.limits.buckets import BucketState, Tokens, check_size, tier_buckets

_ANTHROPIC_NAMES = {"tokens": ("tokens", "input-tokens", "output-tokens")}


async def check_tier(services: Services, request: Request, principal: Principal, tokens: int) -> None:
    """See that the tier has room for one request of so many tokens (estimated), and have its state told in headers.

    The worker's reservation is what counts; this keeps calls that would be refused there out of the database.

    Raises:
        TierLimitExceeded: it has no room now.
        InvalidRequest: the request is larger than the tier lets through at once.
    """
    buckets = tier_buckets(services.settings.config, principal.tenant_id, principal.tier)
    if not buckets:
        return
    asked = Tokens(tokens)
    check_size(buckets, asked)
    # Filled before the call is stored: filled by its own reservation, a bucket would be short of it twice.
    found = (await services.quota.known(buckets)).buckets
    states = [state for bucket in buckets if (state := found[bucket]) is not None]
    lacking = [(state, state.bucket.amount(asked) - state.level) for state in states]
    anthropic = speaks_anthropic(request.scope)
    add_headers(
        request, anthropic_headers(states, asked, datetime.now(UTC)) if anthropic else openai_headers(states, asked)
    )
    waits = [missing / state.rate / 1000 for state, missing in lacking if missing > 0]
    if waits:
        worst = max((missing / state.rate, state) for state, missing in lacking)[1]
        raise TierLimitExceeded(
            f"The limit of tier `{principal.tier}` is reached: {worst.bucket.per_minute} {worst.bucket.resource} a"
            " minute.",
            retry_after=max(waits),
        )


def _left(state: BucketState, asked: Tokens) -> tuple[float, float]:
    """What is left when this request has taken its part, and the seconds until all of it is there again."""
    left = max(0.0, state.level - state.bucket.amount(asked))
    return left, (state.bucket.capacity - left) / state.bucket.rate / 1000


def openai_headers(states: list[BucketState], asked: Tokens) -> dict[str, str]:
    """OpenAI's names, with durations (contract §1.4)."""
    headers = {}
    for state in states:
        name = state.bucket.resource
        left, seconds = _left(state, asked)
        headers[f"x-ratelimit-limit-{name}"] = str(state.bucket.per_minute)
        headers[f"x-ratelimit-remaining-{name}"] = str(math.floor(left))
        headers[f"x-ratelimit-reset-{name}"] = _duration(seconds)
    return headers


def anthropic_headers(states: list[BucketState], asked: Tokens, now: datetime) -> dict[str, str]:
    """Anthropic's names, with times of day (UTC). A tier limits input and output together: each has that limit."""
    headers = {}
    for state in states:
        left, seconds = _left(state, asked)
        full = now + timedelta(seconds=math.ceil(seconds))
        for name in _ANTHROPIC_NAMES.get(state.bucket.resource, (state.bucket.resource,)):
            prefix = f"anthropic-ratelimit-{name}-"
            headers[prefix + "limit"] = str(state.bucket.per_minute)
            headers[prefix + "remaining"] = str(math.floor(left))
            headers[prefix + "reset"] = full.strftime("%Y-%m-%dT%H:%M:%SZ")
    return headers


def _duration(seconds: float) -> str:
    """As OpenAI writes it: `250ms`, `6s`, `1m30s`."""
    if seconds < 1:
        return f"{math.ceil(seconds * 1000)}ms"
    minutes, rest = divmod(math.ceil(seconds), 60)
    return f"{minutes}m{rest}s" if minutes else f"{rest}s"
