"""The token bucket of `reserve.lua` once more, in Python: the oracle of these tests."""

import math
from dataclasses import dataclass, field
from itertools import combinations_with_replacement

from penstock.configuration import Config
from penstock.limits.buckets import HORIZON_MS, DeploymentLimits, TokenBucket


def deployment(shared: dict[str, float], own: dict[str, float] | None = None) -> DeploymentLimits:
    """Limits of a provider `p` and, when given, of its model `m`."""
    config = Config.model_validate(
        {
            "providers": {"p": {"wire_format": "openai", "base_url": "http://127.0.0.1", "limits": shared}},
            "models": {"m": {"provider": "p", "limits": own}},
        }
    )
    return DeploymentLimits.of(config, "m")


async def nothing_spent(provider: str, model: str | None, seconds: float) -> tuple[int, int]:
    return 0, 0


@dataclass
class BucketModel:
    """One bucket. Times are ms; `at` is when `level` was true."""

    size: TokenBucket
    level: float
    at: float

    def level_at(self, now: float) -> float:
        return min(self.level + (now - self.at) * self.size.rate, self.size.capacity)

    def wait(self, now: float, amount: float, *, interactive: bool) -> float:
        """How many ms until `amount` may be taken."""
        floor = 0.0 if interactive else min(self.size.floor, self.size.capacity - amount)
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

    def wait(self, now: float, tokens: int, *, interactive: bool) -> float:
        return max(b.wait(now, b.size.amount(tokens), interactive=interactive) for b in self.buckets)

    def goes(self, now: float, tokens: int, *, interactive: bool) -> bool:
        return self.wait(now, tokens, interactive=interactive) <= HORIZON_MS


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
