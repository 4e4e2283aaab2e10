"""A tenant's tier as the dispatcher sees it."""

from uuid import UUID

from penstock.configuration import Config
from penstock.limits.buckets import Scope, tier_buckets
from penstock.limits.quota import Quota
from penstock.redis import Redis
from penstock.store.attempts import Spent
from penstock.store.flows import Flow
from workers.tiers import TierRoom

CONFIG = Config.model_validate({"tiers": {"small": {"requests_per_minute": 60, "tokens_per_minute": 6000}}})
FLOW = Flow(1, "m", "bulk", "team", "small", 0.0, 0, 0, UUID(int=0))


async def test_what_is_sent_first_does_not_count_as_spent_before(redis: Redis) -> None:
    """The bucket is filled before the first job goes out: filled after, by their reserve, it would be short of them."""
    running = 0

    async def spent(scope: Scope, seconds: float) -> Spent:
        return Spent(requests=running, running=running)

    quota = Quota(redis, spent)
    room = TierRoom(quota, CONFIG)
    assert (await room.most([FLOW], lambda _: 10.0)) == {1: 60}
    running = 60
    found = (await quota.look(tier_buckets(CONFIG, "team", "small"))).buckets
    assert all(state is not None and state.level == state.bucket.capacity for state in found.values())
    await quota.close()
