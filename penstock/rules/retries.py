"""When a failed call is made again, and how long to wait before."""

import random
from dataclasses import dataclass

from penstock.errors import PenstockError, ProviderError

#: full jitter: a random delay under a doubling ceiling spreads a herd best
#: (M. Brooker, "Exponential Backoff And Jitter", AWS Architecture Blog, 2015)
BASE_SECONDS = 0.5
CEILING_SECONDS = 20.0


@dataclass(frozen=True, slots=True)
class RetryDecision:
    """Call again after `delay` seconds."""

    delay: float


def decide(error: PenstockError, attempt: int, max_attempts: int, jitter: float | None = None) -> RetryDecision | None:
    """Whether attempt number `attempt` (from 1), which ended with `error`, is followed by another.

    `retry_after`, where the provider named it, is the least delay. `jitter` in [0, 1) replaces chance in tests.
    """
    if not error.retryable or attempt >= max_attempts:
        return None
    ceiling = min(CEILING_SECONDS, BASE_SECONDS * 2 ** (attempt - 1))
    delay = ceiling * (random.random() if jitter is None else jitter)  # noqa: S311 — spreading, not secrecy
    named = error.retry_after if isinstance(error, ProviderError) else None
    return RetryDecision(max(delay, named or 0.0))
