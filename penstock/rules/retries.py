"""What follows a failed call: the same again after a while, another deployment, or the end."""

import random
from collections.abc import Collection
from dataclasses import dataclass

from penstock.configuration import LaneRetries
from penstock.errors import PenstockError

#: full jitter: a random delay under a doubling ceiling spreads a herd best
#: (M. Brooker, "Exponential Backoff And Jitter", AWS Architecture Blog, 2015)
BASE_SECONDS = 0.5
CEILING_SECONDS = 20.0
#: with another deployment to go to, one repetition shows whether a fault was a moment's
ATTEMPTS_BEFORE_FALLBACK = 2


@dataclass(frozen=True, slots=True)
class Retry:
    """Call again after `delay` seconds."""

    delay: float


@dataclass(frozen=True, slots=True)
class FallBack:
    """Ask the next deployment."""


@dataclass(frozen=True, slots=True)
class GiveUp:
    """The failure stands."""


def decide(
    error: PenstockError,
    attempt: int,
    policy: LaneRetries,
    *,
    elapsed: float = 0.0,
    fallback_on: Collection[str] = (),
    jitter: float | None = None,
) -> Retry | FallBack | GiveUp:
    """What follows attempt number `attempt` (from 1) at one deployment, which ended with `error`.

    `elapsed` is in seconds since the job was accepted. `fallback_on` names the reasons for which another deployment is
    asked, and is empty when there is none left. The error's `retry_after` is the least delay. `jitter` in [0, 1)
    replaces chance in tests.
    """
    falls_back = error.fallback_reason in fallback_on
    otherwise = FallBack() if falls_back else GiveUp()
    limit = min(policy.max_attempts, ATTEMPTS_BEFORE_FALLBACK) if falls_back else policy.max_attempts
    if not error.retryable or attempt >= limit:
        return otherwise
    ceiling = min(CEILING_SECONDS, BASE_SECONDS * 2 ** (attempt - 1))
    delay = ceiling * (random.random() if jitter is None else jitter)  # noqa: S311 — spreading, not secrecy
    delay = max(delay, error.retry_after or 0.0)
    return Retry(delay) if elapsed + delay <= policy.max_seconds else otherwise
