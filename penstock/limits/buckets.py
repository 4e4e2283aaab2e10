"""What a call to a deployment draws from: token buckets, places for concurrent calls, and the gate of the breaker.

A provider's quota is shared by its models; a model with limits of its own has buckets beside them, and a call takes
from both, and from those of its tenant's tier. What belongs to a model is named after its upstream model: two public
names of one model share its quota.
"""

import math
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Literal, NamedTuple

from penstock.configuration import BreakerConfig, Config, Limits
from penstock.errors import InvalidRequest
from penstock.redis import PREFIX

#: how many ms ahead quota may be reserved: a dead worker wastes no more, and nobody queues behind a longer debt
BULK_HORIZON_MS = 500
INTERACTIVE_HORIZON_MS = 2000
#: what a provider lets through at once where nobody said: seconds of quota that its bucket may hold, and that are
#: assumed until its own headers show more
BURST_SECONDS = 60.0
CAUTIOUS_SECONDS = 5.0

#: the same number as in reserve.lua, where it is explained
INTERACTIVE_MS = 600_000

Resource = Literal["requests", "tokens", "input_tokens", "output_tokens"]


class Tokens(NamedTuple):
    """Tokens of a call: expected, or really used."""

    input: int
    output: int = 0

    @property
    def total(self) -> int:
        """Input and output together."""
        return self.input + self.output


@dataclass(frozen=True, slots=True)
class Scope:
    """Whose quota it is: a provider's, one upstream model's of that provider, or (`tenant`) a tenant's tier."""

    provider: str = ""
    model: str | None = None
    tenant: str | None = None

    def __str__(self) -> str:
        if self.tenant is not None:
            return f"tenant:{self.tenant}"
        return self.provider if self.model is None else f"{self.provider}/{self.model}"


@dataclass(frozen=True, slots=True)
class TokenBucket:
    """One limited resource of one scope: it holds `burst_seconds` of quota and refills at `per_minute`.

    With `cautious` nobody knows whether it holds that much: less is assumed until the provider's headers show it.
    """

    scope: Scope
    resource: Resource
    per_minute: int
    burst_seconds: float = BURST_SECONDS
    interactive_reserve: float = 0.0
    cautious: bool = False

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
    def room(self) -> float:
        """What it is known to hold when nothing was learnt yet."""
        if not self.cautious:
            return self.capacity
        return min(self.capacity, max(1.0, self.per_minute * CAUTIOUS_SECONDS / 60))

    @property
    def reserve(self) -> float:
        """What bulk work leaves for calls with a client waiting, while there are such calls."""
        return self.interactive_reserve * self.capacity

    @property
    def fill_seconds(self) -> float:
        """How long it takes to fill it from empty; what was spent longer ago no longer shows in its level."""
        return self.capacity / self.rate / 1000

    def level_after(self, spent: int) -> float:
        """The level to seed it with when so much was spent within the last `fill_seconds`.

        Never above the true level, as that began its window at or above 0; and never below the deepest debt.
        """
        return max(self.room - spent, -self.rate * INTERACTIVE_HORIZON_MS)

    def amount(self, tokens: Tokens) -> int:
        """What a request of so many tokens takes from it."""
        if self.resource == "requests":
            return 1
        if self.resource == "tokens":
            return tokens.total
        return tokens.input if self.resource == "input_tokens" else tokens.output


@dataclass(frozen=True, slots=True)
class BucketState:
    """A bucket at one moment: its level, its refill per ms and its room as far as they are known, times in ms.

    `margin` is what bulk work leaves in it so that the provider's count can be told from ours (see state.lua).
    `idle_ms` is for how long no interactive call took from it, None when none ever did.
    """

    bucket: TokenBucket
    level: float
    rate: float
    room: float
    margin: float = 0.0
    paused_ms: float = 0.0
    idle_ms: float | None = None

    def available(self, ahead_ms: float) -> float:
        """How much bulk work it can give within the next `ahead_ms`, when nobody else takes any."""
        if self.paused_ms > ahead_ms:
            return 0.0
        at_start = min(self.level + self.rate * self.paused_ms, self.room)
        later = self.rate * (ahead_ms - self.paused_ms)
        # A full bucket gives whatever fits into it, floor or not.
        whole = self.room if at_start + later >= self.room else 0.0
        return max(at_start + later - self._floor(), whole, 0.0)

    def _floor(self) -> float:
        """As in reserve.lua: the margin, and what is left to interactive work while there is some."""
        if self.bucket.reserve and self.idle_ms is not None and self.idle_ms < INTERACTIVE_MS:
            return self.margin + self.bucket.reserve + self.bucket.rate * BULK_HORIZON_MS
        return self.margin


@dataclass(frozen=True, slots=True)
class Lease:
    """How many calls a scope may have under way at one moment."""

    scope: Scope
    places: int

    @property
    def key(self) -> str:
        """Where Redis keeps who holds a place."""
        return f"{PREFIX}lease:{self.scope}"


@dataclass(frozen=True, slots=True)
class Gate:
    """The circuit breaker of one deployment (`scope` names provider and upstream model), shared by the fleet."""

    scope: Scope
    failures: int
    reset_ms: float
    probes: int

    @classmethod
    def of(cls, scope: Scope, config: BreakerConfig) -> "Gate":
        """The gate of a deployment under the configured policy."""
        return cls(scope, config.failures, config.reset_seconds * 1000, config.probes)

    @property
    def key(self) -> str:
        """Where Redis keeps its state."""
        return f"{PREFIX}gate:{self.scope}"


@dataclass(frozen=True, slots=True)
class DeploymentLimits:
    """All that a call to one deployment draws from. Where nothing is limited, its gate remains."""

    provider: str
    model: str
    gate: Gate
    buckets: tuple[TokenBucket, ...] = ()
    leases: tuple[Lease, ...] = ()
    #: whether prompt tokens that the provider read from its cache count against its limits
    counts_cached_input: bool = True

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
        pairs = (
            (Scope(model.provider), config.providers[model.provider].limits),
            (Scope(model.provider, upstream), next(own, Limits())),
        )
        return cls(
            model.provider,
            upstream,
            Gate.of(Scope(model.provider, upstream), config.breaker),
            tuple(bucket for scope, limits in pairs for bucket in _buckets(scope, limits)),
            tuple(Lease(scope, limits.concurrency) for scope, limits in pairs if limits.concurrency is not None),
            all(limits.count_cached_input for _, limits in pairs),
        )

    @property
    def narrowest(self) -> tuple[TokenBucket, ...]:
        """The model's own buckets, else the provider's: what a refusal of the provider is about."""
        return tuple(b for b in self.buckets if b.scope.model is not None) or self.buckets


def tier_buckets(config: Config, tenant_id: str, tier: str) -> tuple[TokenBucket, ...]:
    """What a tenant's tier lets it use; none for a tier without limits, or one that is no longer configured."""
    limits = config.tiers.get(tier)
    if limits is None:
        return ()
    sizes: tuple[tuple[Resource, int | None], ...] = (
        ("requests", limits.requests_per_minute),
        ("tokens", limits.tokens_per_minute),
    )
    scope = Scope(tenant=tenant_id)
    return tuple(TokenBucket(scope, resource, size) for resource, size in sizes if size is not None)


def check_size(buckets: Iterable[TokenBucket], tokens: Tokens) -> None:
    """Whether a request of so many tokens (estimated) can be served at all.

    Raises:
        InvalidRequest: it is larger than one of the buckets, so that no waiting would help.
    """
    for bucket in buckets:
        amount = bucket.amount(tokens)
        if amount > bucket.capacity:
            whose = "your tier" if bucket.scope.tenant is not None else f"`{bucket.scope}`"
            what = bucket.resource.replace("_", " ")
            raise InvalidRequest(
                f"This request is estimated at {amount} {what} and can never be sent: the limit of {whose} lets at most"
                f" {math.floor(bucket.capacity)} through at once ({bucket.resource}_per_minute {bucket.per_minute},"
                f" burst_seconds {bucket.burst_seconds:g}).",
                code="request_exceeds_quota",
            )


def _buckets(scope: Scope, limits: Limits) -> Iterator[TokenBucket]:
    sizes: tuple[tuple[Resource, int | None], ...] = (
        ("requests", limits.requests_per_minute),
        ("tokens", limits.tokens_per_minute),
        ("input_tokens", limits.input_tokens_per_minute),
        ("output_tokens", limits.output_tokens_per_minute),
    )
    burst = limits.burst_seconds or BURST_SECONDS
    for resource, per_minute in sizes:
        if per_minute is not None:
            cautious = limits.burst_seconds is None
            yield TokenBucket(scope, resource, per_minute, burst, limits.interactive_reserve, cautious)
