"""What a provider's answer says of its rate limits: how much is left in each minute's bucket, read by table.

Sources: OpenAI's and Anthropic's rate-limit guides; Azure OpenAI and most compatible servers send OpenAI's names.
"""

import math
import re
from collections.abc import Mapping
from datetime import UTC, datetime

from penstock.limits.buckets import Resource

#: (header of what is left, header of when it is full again, what it counts)
_HEADERS: tuple[tuple[str, str, Resource], ...] = (
    ("x-ratelimit-remaining-requests", "x-ratelimit-reset-requests", "requests"),
    ("x-ratelimit-remaining-tokens", "x-ratelimit-reset-tokens", "tokens"),
    ("x-ratelimit-remaining-requests-minute", "x-ratelimit-reset-requests-minute", "requests"),
    ("x-ratelimit-remaining-tokens-minute", "x-ratelimit-reset-tokens-minute", "tokens"),
    ("anthropic-ratelimit-requests-remaining", "anthropic-ratelimit-requests-reset", "requests"),
    ("anthropic-ratelimit-tokens-remaining", "anthropic-ratelimit-tokens-reset", "tokens"),
    ("anthropic-ratelimit-input-tokens-remaining", "anthropic-ratelimit-input-tokens-reset", "input_tokens"),
    ("anthropic-ratelimit-output-tokens-remaining", "anthropic-ratelimit-output-tokens-reset", "output_tokens"),
)
#: a bucket that takes longer to fill holds a day's or a month's quota, which says nothing of this minute
_LONGEST_RESET = 120.0
_UNITS = {"d": 86_400.0, "h": 3600.0, "m": 60.0, "s": 1.0, "ms": 0.001, "us": 1e-6, "µs": 1e-6}
_DURATION = re.compile(r"(\d+(?:\.\d+)?)(ms|us|µs|d|h|m|s)")


def left(headers: Mapping[str, str], now: datetime | None = None) -> dict[Resource, float]:
    """What is left of each resource that the headers tell of; empty where they tell nothing of this minute.

    `now` replaces the clock in tests.
    """
    found: dict[Resource, float] = {}
    for remaining, reset, resource in _HEADERS:
        value = _number(headers.get(remaining))
        if value is None or value < 0:
            continue
        seconds = _seconds(headers.get(reset), now or datetime.now(UTC))
        if seconds is None or seconds <= _LONGEST_RESET:
            found[resource] = value
    return found


def _seconds(text: str | None, now: datetime) -> float | None:
    """A reset as it is written: seconds, a duration such as `1m30.5s`, or an RFC 3339 time."""
    if not text:
        return None
    plain = _number(text)
    if plain is not None:
        return plain
    parts = _DURATION.findall(text)
    if parts and "".join(number + unit for number, unit in parts) == text:
        return sum(float(number) * _UNITS[unit] for number, unit in parts)
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        return None
    return (moment - now).total_seconds() if moment.tzinfo else None


def _number(text: str | None) -> float | None:
    try:
        value = float(text) if text else math.nan
    except ValueError:
        return None
    return value if math.isfinite(value) else None
