"""The provider's quota: token buckets that really run dry."""

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal, NamedTuple

from simulator.options import SimulatorOptions

_EPSILON = 1e-9
BucketName = Literal["requests", "tokens"]


class TokenBucket:
    """A bucket that refills at `per_minute` and holds `burst_seconds` of that (at least 1).

    A level below zero is a debt: work that turned out larger than what was taken for it.
    """

    def __init__(self, per_minute: float, burst_seconds: float, clock: Callable[[], float] = time.monotonic) -> None:
        self.per_minute = per_minute
        self.capacity = max(1.0, per_minute * burst_seconds / 60)
        self._clock = clock
        self._level = self.capacity
        self._at = clock()

    @property
    def level(self) -> float:
        """What is in the bucket now."""
        now = self._clock()
        self._level = min(self.capacity, self._level + (now - self._at) * self.per_minute / 60)
        self._at = now
        return self._level

    def seconds_until(self, amount: float) -> float:
        """How long until `amount` is there: 0 for now, infinity when the bucket can never hold it."""
        if amount > self.capacity + _EPSILON:
            return float("inf")
        lacking = amount - self.level
        return lacking * 60 / self.per_minute if lacking > _EPSILON else 0.0

    def take(self, amount: float) -> None:
        """Take `amount` out, whatever the level."""
        self._level = self.level - amount


class BucketState(NamedTuple):
    """What a provider's headers tell of one bucket; `reset` is seconds until it is full."""

    name: BucketName
    limit: int
    remaining: int
    reset: float


@dataclass(frozen=True, slots=True)
class LimitHit:
    """Why a call was refused. `retry_after` is in seconds, infinity for a call that never fits."""

    name: BucketName
    limit: int
    remaining: int
    requested: int
    retry_after: float


class Quota:
    """The buckets of one account. A call takes from all of them or from none."""

    def __init__(self, options: SimulatorOptions, clock: Callable[[], float] = time.monotonic) -> None:
        self._charge_estimate = options.charge == "estimate"
        self._requests = self._tokens = None
        if options.requests_per_minute is not None:
            self._requests = TokenBucket(options.requests_per_minute, options.burst_seconds, clock)
        if options.tokens_per_minute is not None:
            self._tokens = TokenBucket(options.tokens_per_minute, options.burst_seconds, clock)
        self._named: list[tuple[BucketName, TokenBucket]] = []
        if self._requests is not None:
            self._named.append(("requests", self._requests))
        if self._tokens is not None:
            self._named.append(("tokens", self._tokens))

    def admit(self, input_tokens: int, expected_output_tokens: int) -> LimitHit | None:
        """Take what a call costs at its beginning, or say why it may not begin."""
        tokens = input_tokens + (expected_output_tokens if self._charge_estimate else 0)
        for name, bucket in self._named:
            requested = 1 if name == "requests" else tokens
            wait = bucket.seconds_until(requested)
            if wait > 0:
                return LimitHit(name, int(bucket.per_minute), max(0, int(bucket.level)), requested, wait)
        if self._requests is not None:
            self._requests.take(1)
        if self._tokens is not None:
            self._tokens.take(tokens)
        return None

    def settle(self, output_tokens: int) -> None:
        """Take what the answer really cost; nothing where the estimate was charged."""
        if self._tokens is not None and not self._charge_estimate:
            self._tokens.take(output_tokens)

    def state(self) -> list[BucketState]:
        """The buckets that are limited, as headers tell them."""
        return [
            BucketState(name, int(b.per_minute), max(0, int(b.level)), b.seconds_until(b.capacity))
            for name, b in self._named
        ]
