"""Which token buckets a call to a deployment draws from, and how large they are.

A provider's quota is shared by its models; a model with limits of its own has buckets beside them, and a call takes
from both. Buckets of a model are named after its upstream model: two public names of one model share its quota.
"""

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

from penstock.configuration import Config, Limits
from penstock.errors import InvalidRequest
from penstock.redis import PREFIX

#: how many ms ahead quota may be reserved: a dead worker wastes no more, and nobody queues behind a longer debt
HORIZON_MS = 2000

Resource = Literal["requests", "tokens"]


@dataclass(frozen=True, slots=True)
class Scope:
    """Whose quota it is: a provider's (`model` is None), or one upstream model's of that provider."""

    provider: str
    model: str | None = None

    def __str__(self) -> str:
        return self.provider if self.model is None else f"{self.provider}/{self.model}"


@dataclass(frozen=True, slots=True)
class TokenBucket:
    """One limited resource of one scope: it holds `burst_seconds` of quota and refills at `per_minute`."""

    scope: Scope
    resource: Resource
    per_minute: int
    burst_seconds: float
    interactive_reserve: float

    @property
    def key(self) -> str:
        """Where Redis keeps its state."""
        return f"{PREFIX}bucket:{self.resource}:{self.scope}"

    @property
    def rate(self) -> float:
        """Refill per millisecond."""
        return self.per_minute / 60_000

    @property
    def capacity(self) -> float:
        """The most it can hold: at least 1, or a short burst of a low limit would never let a request through."""
        return max(1.0, self.per_minute * self.burst_seconds / 60)

    @property
    def floor(self) -> float:
        """The level bulk work waits for.

        It lies above the reserve by what bulk may take ahead of time: that debt must not come out of the reserve.
        """
        if not self.interactive_reserve:
            return 0.0
        return self.interactive_reserve * self.capacity + self.rate * HORIZON_MS

    @property
    def fill_seconds(self) -> float:
        """How long it takes to fill it from empty; what was spent longer ago no longer shows in its level."""
        return self.capacity / self.rate / 1000

    def level_after(self, spent: int) -> float:
        """The level to seed it with when so much was spent within the last `fill_seconds`.

        Never above the true level, as that began its window at or above 0; and never below the deepest debt.
        """
        return max(self.capacity - spent, -self.rate * HORIZON_MS)

    def amount(self, tokens: int) -> int:
        """What a request of so many tokens takes from it."""
        return tokens if self.resource == "tokens" else 1

    def room(self, level: float, paused_ms: float, ahead_ms: float) -> float:
        """How much bulk work it can give within the next `ahead_ms`, when nobody else takes any."""
        if paused_ms > ahead_ms:
            return 0.0
        at_start = min(level + self.rate * paused_ms, self.capacity)
        later = self.rate * (ahead_ms - paused_ms)
        # A full bucket gives whatever fits into it, floor or not.
        whole = self.capacity if at_start + later >= self.capacity else 0.0
        return max(at_start + later - self.floor, whole, 0.0)


@dataclass(frozen=True, slots=True)
class DeploymentLimits:
    """All buckets that a call to one deployment draws from; none when nothing is limited."""

    provider: str
    model: str
    buckets: tuple[TokenBucket, ...] = ()

    @classmethod
    def of(cls, config: Config, name: str) -> "DeploymentLimits":
        """The limits of a configured public model.

        Where several rows name one upstream model, the first of them that has limits speaks for all: a shared bucket
        has one size.

        Raises:
            KeyError: the configuration has no such model.
        """
        model = config.models[name]
        upstream = model.upstream_model or name
        own = (
            row.limits
            for other, row in config.models.items()
            if row.provider == model.provider and (row.upstream_model or other) == upstream and row.limits is not None
        )
        shared = config.providers[model.provider].limits
        buckets = (
            *_buckets(Scope(model.provider), shared),
            *_buckets(Scope(model.provider, upstream), next(own, Limits())),
        )
        return cls(model.provider, upstream, buckets)

    @property
    def narrowest(self) -> tuple[TokenBucket, ...]:
        """The model's own buckets, else the provider's: what a refusal of the provider is about."""
        return tuple(b for b in self.buckets if b.scope.model is not None) or self.buckets

    def check(self, tokens: int) -> None:
        """Whether a request of so many tokens (estimated) can be served at all.

        Raises:
            InvalidRequest: it is larger than one of the buckets, so that no waiting would help.
        """
        for bucket in self.buckets:
            if bucket.amount(tokens) > bucket.capacity:
                raise InvalidRequest(
                    f"This request is estimated at {tokens} tokens and can never be sent: the limit of "
                    f"`{bucket.scope}` lets at most {math.floor(bucket.capacity)} through at once (tokens_per_minute "
                    f"{bucket.per_minute}, burst_seconds {bucket.burst_seconds:g}).",
                    code="request_exceeds_quota",
                )


def _buckets(scope: Scope, limits: Limits) -> Iterator[TokenBucket]:
    sizes: tuple[tuple[Resource, int | None], ...] = (
        ("requests", limits.requests_per_minute),
        ("tokens", limits.tokens_per_minute),
    )
    for resource, per_minute in sizes:
        if per_minute is not None:
            yield TokenBucket(scope, resource, per_minute, limits.burst_seconds, limits.interactive_reserve)
