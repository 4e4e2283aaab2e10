"""The token bucket of `reserve.lua` once more, in Python: the oracle of these tests."""

import math
from dataclasses import dataclass, field
from itertools import combinations_with_replacement

from penstock.configuration import Config
from penstock.limits.buckets import (
    BULK_HORIZON_MS,
    INTERACTIVE_HORIZON_MS,
    DeploymentLimits,
    Scope,
    TokenBucket,
    Tokens,
)
from penstock.store.attempts import Spent


def deployment(shared: dict[str, float], own: dict[str, float] | None = None) -> DeploymentLimits:
    """Limits of a provider `p` and, when given, of its model `m`. What they let through at once is known."""
    shared = {"burst_seconds": 60.0} | shared
    own = {"burst_seconds": 60.0} | own if own is not None else None
    config = Config.model_validate(
        {
            "providers": {"p": {"wire_format": "openai", "base_url": "http://127.0.0.1", "limits": shared}},
            "models": {"m": {"provider": "p", "limits": own}},
        }
    )
    return DeploymentLimits.of(config, "m")


async def nothing_spent(scope: Scope, seconds: float) -> Spent:
    return Spent()


def horizon_ms(interactive: bool) -> float:
    return INTERACTIVE_HORIZON_MS if interactive else BULK_HORIZON_MS


@dataclass
class BucketModel:
    """One bucket. Times are ms; `at` is when `level` was true."""

    size: TokenBucket
    level: float
    at: float
    #: whether a call with a client waiting ever took from it
    interactive: bool = False

    @property
    def floor(self) -> float:
        """What bulk leaves: the reserve, and what it may take ahead of time, once there was an interactive call."""
        reserve = self.size.reserve
        return reserve + self.size.rate * BULK_HORIZON_MS if reserve and self.interactive else 0.0

    def level_at(self, now: float) -> float:
        return min(self.level + (now - self.at) * self.size.rate, self.size.capacity)

    def wait(self, now: float, amount: float, *, interactive: bool) -> float:
        """How many ms until `amount` may be taken."""
        floor = min(0.0 if interactive else self.floor, self.size.capacity - amount)
        return max(0.0, (amount + floor - self.level_at(now)) / self.size.rate)

    def take(self, now: float, amount: float, wait: float) -> None:
        """Take `amount` at the end of the wait: `level` is what leads there when nobody else takes any."""
        then = self.level_at(now + wait) - amount
        self.level, self.at = then - wait * self.size.rate, now

    def settle(self, now: float, given_back: float, taken: float) -> None:
        self.level = min(self.level_at(now) + given_back, self.size.capacity) - taken
        self.at = now


@dataclass
class ReservationModel:
    """All buckets of a deployment: a reservation takes from each or from none."""

    buckets: list[BucketModel]

    def wait(self, now: float, tokens: Tokens, *, interactive: bool) -> float:
        return max(b.wait(now, b.size.amount(tokens), interactive=interactive) for b in self.buckets)

    def goes(self, now: float, tokens: Tokens, *, interactive: bool) -> bool:
        return self.wait(now, tokens, interactive=interactive) <= horizon_ms(interactive)


@dataclass
class Ledger:
    """What was sent, and between which two moments (ms) it was: nobody outside Redis knows the exact one."""

    sent: list[tuple[float, float, float]] = field(default_factory=list)

    def add(self, earliest: float, latest: float, amount: float) -> None:
        self.sent.append((earliest, latest, amount))

    def worst_excess(self, size: TokenBucket) -> float:
        """By how much the worst window exceeds what the bucket holds and refills; at most 0 when no window does.

        Only what surely lies inside a window counts as inside.
        """
        worst = -math.inf
        moments = sorted({moment for earliest, latest, _ in self.sent for moment in (earliest, latest)})
        for begin, end in combinations_with_replacement(moments, 2):
            inside = sum(amount for earliest, latest, amount in self.sent if begin <= earliest and latest <= end)
            worst = max(worst, inside - size.capacity - size.rate * (end - begin))
        return worst
