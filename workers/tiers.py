"""What tenants' tiers leave to them: a tenant whose bucket is dry is skipped until it refills, and occupies no slot."""

import math
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass

from penstock.configuration import Config
from penstock.limits.buckets import BULK_HORIZON_MS, TokenBucket, tier_buckets
from penstock.limits.quota import Quota
from penstock.store.flows import Flow

#: a tenant's buckets are looked at again after so many seconds
_LOOK_SECONDS = 0.2
_LONGEST_REST = 1.0


@dataclass(slots=True)
class _Left:
    """What a tenant had left when it was looked at, less what was sent for it since."""

    at: float
    requests: float
    tokens: float
    #: what comes back a second
    requests_rate: float = 1.0
    tokens_rate: float = 1.0


class TierRoom:
    """The tiers as one dispatcher sees them."""

    def __init__(self, quota: Quota, config: Config) -> None:
        self._quota = quota
        self._config = config
        self._left: dict[tuple[str, str], _Left] = {}

    async def most(self, flows: Iterable[Flow], mean_tokens: Callable[[Flow], float]) -> dict[int, int]:
        """How many jobs each flow of a tenant with a limited tier may send now; others are left out."""
        limited = {flow: buckets for flow in flows if (buckets := self._buckets(flow))}
        now = time.monotonic()
        stale = {flow: buckets for flow, buckets in limited.items() if self._is_stale(flow, now)}
        if stale:
            await self._look(stale, now)
        most = {}
        for flow in limited:
            left = self._left[flow.tenant_id, flow.tier]
            by_tokens = max(left.tokens / mean_tokens(flow), 1.0 if left.tokens > 0 else 0.0)
            most[flow.id] = int(min(left.requests, by_tokens, 2**31))
        return most

    def rest(self, flow: Flow) -> float:
        """For how many seconds a flow that may send nothing need not be looked at.

        Never long: what its jobs did not use comes back meanwhile.
        """
        left = self._left[flow.tenant_id, flow.tier]
        refilled = max((1.0 - left.requests) / left.requests_rate, -left.tokens / left.tokens_rate)
        return min(max(refilled, _LOOK_SECONDS), _LONGEST_REST)

    def sent(self, flow: Flow, jobs: int, tokens: int) -> None:
        """Jobs were sent: no bucket has it before a worker reserves for them."""
        left = self._left.get((flow.tenant_id, flow.tier))
        if left is not None:
            left.requests -= jobs
            left.tokens -= tokens

    def _buckets(self, flow: Flow) -> tuple[TokenBucket, ...]:
        return tier_buckets(self._config, flow.tenant_id, flow.tier)

    def _is_stale(self, flow: Flow, now: float) -> bool:
        left = self._left.get((flow.tenant_id, flow.tier))
        return left is None or now - left.at > _LOOK_SECONDS

    async def _look(self, stale: Mapping[Flow, Sequence[TokenBucket]], now: float) -> None:
        """Read the buckets of several tenants at once."""
        wanted = list(dict.fromkeys(bucket for buckets in stale.values() for bucket in buckets))
        found = (await self._quota.known(wanted)).buckets
        for flow, buckets in stale.items():
            left = _Left(now, math.inf, math.inf)
            for bucket in buckets:
                state = found[bucket]
                assert state is not None  # it is known
                free, rate = state.available(BULK_HORIZON_MS), bucket.rate * 1000
                if bucket.resource == "requests":
                    left.requests, left.requests_rate = free, rate
                else:
                    left.tokens, left.tokens_rate = free, rate
            self._left[flow.tenant_id, flow.tier] = left
