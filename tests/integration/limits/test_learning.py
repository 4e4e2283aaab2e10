"""What is learnt of a provider from its own rate-limit headers and refusals."""

import asyncio
import time
from dataclasses import dataclass
from dataclasses import field as default

import pytest
from bucket_model import deployment

from penstock.limits.buckets import CAUTIOUS_SECONDS, DeploymentLimits, Tokens
from penstock.limits.quota import Quota, Reservation
from penstock.redis import Redis

KEY = "penstock:bucket:tokens:p"


async def field(redis: Redis, name: str) -> float:
    return float(await redis.hget(KEY, name) or 0)


async def told(quota: Quota, limits: DeploymentLimits, left: float) -> None:
    quota.observe(limits, {"tokens": left})
    await quota._settles.drained()


async def test_less_left_than_we_thought_is_followed_at_once(quota: Quota, redis: Redis) -> None:
    limits = deployment({"tokens_per_minute": 60_000})
    await quota.reserve(limits, Tokens(1000), interactive=False)
    await told(quota, limits, 20_000)
    assert await field(redis, "level") == pytest.approx(20_000, abs=100)


async def test_more_left_than_we_thought_changes_nothing(quota: Quota, redis: Redis) -> None:
    """Calls under way may not be charged there yet."""
    limits = deployment({"tokens_per_minute": 60_000})
    await quota.reserve(limits, Tokens(30_000), interactive=False)
    await told(quota, limits, 59_000)
    assert await field(redis, "level") == pytest.approx(30_000, abs=100)


async def test_what_is_reserved_ahead_is_not_taken_for_somebody_elses(quota: Quota, redis: Redis) -> None:
    limits = deployment({"tokens_per_minute": 60_000, "burst_seconds": 1})
    for _ in range(3):
        await quota.reserve(limits, Tokens(900), interactive=True)
    before = await field(redis, "level")
    assert before < -1500
    await told(quota, limits, 100)
    assert await field(redis, "level") == pytest.approx(before, abs=100)


async def test_an_unknown_burst_is_begun_with_care_and_grows_with_what_the_provider_shows(
    quota: Quota, redis: Redis
) -> None:
    limits = deployment({"tokens_per_minute": 60_000, "burst_seconds": None})
    await quota.reserve(limits, Tokens(1000), interactive=False)
    assert await field(redis, "level") == CAUTIOUS_SECONDS * 1000 - 1000
    await told(quota, limits, 58_000)
    assert await field(redis, "level") == pytest.approx(57_000, abs=100)
    await told(quota, limits, 59_500)
    assert await field(redis, "room") == 59_500


async def test_a_request_larger_than_what_is_known_to_fit_goes_all_the_same(quota: Quota) -> None:
    """It fits the limit; whether the provider takes it at once, the provider says."""
    limits = deployment({"tokens_per_minute": 60_000, "burst_seconds": None})
    answer = await quota.reserve(limits, Tokens(20_000), interactive=False)
    assert isinstance(answer, Reservation)
    assert answer.wait == 0


@dataclass
class Provider:
    """One with a bucket of its own: it refills by 1,000 tokens a second, of which others take `others`."""

    others: float
    level: float = 3000.0
    at: float = default(default_factory=time.monotonic)
    refused: int = 0

    def left(self) -> float:
        now = time.monotonic()
        self.level += (1000 - self.others) * (now - self.at)
        self.at = now
        return self.level

    def asked(self, tokens: int) -> bool:
        if self.left() < tokens:
            self.refused += 1
            return False
        self.level -= tokens
        return True


async def work(quota: Quota, limits: DeploymentLimits, provider: Provider, seconds: float, charged: int = 100) -> None:
    """As much as the quota allows: calls that we count as 100 tokens, and the provider as `charged`."""
    calls: set[asyncio.Task[None]] = set()

    async def call(reservation: Reservation) -> None:
        await asyncio.sleep(reservation.wait)
        reservation.begin()
        taken = provider.asked(charged)
        if taken:
            await asyncio.sleep(0.05)
        await quota.settle(reservation, Tokens(100), "answered" if taken else "refused", {"tokens": provider.left()})

    end = time.monotonic() + seconds
    while time.monotonic() < end:
        answer = await quota.reserve(limits, Tokens(100), interactive=False)
        if isinstance(answer, Reservation):
            calls.add(asyncio.create_task(call(answer)))
        else:
            await asyncio.sleep(0.02)
    await asyncio.gather(*calls)


async def test_steady_use_by_others_slows_us_down_before_we_are_refused(quota: Quota, redis: Redis) -> None:
    limits = deployment({"tokens_per_minute": 60_000})
    await quota.reserve(limits, Tokens(0), interactive=False)
    await redis.hset(KEY, "level", 3000)
    await told(quota, limits, 3000)
    provider = Provider(others=600)
    await work(quota, limits, provider, 5)
    assert await field(redis, "others") * 1000 == pytest.approx(600, rel=0.5)
    assert provider.refused == 0
    provider.others = 0
    await work(quota, limits, provider, 3)
    assert await field(redis, "others") * 1000 < 300


async def test_a_provider_that_charges_more_than_we_know_is_followed(quota: Quota, redis: Redis) -> None:
    """Half as much again, for ever: as if it charged `max_tokens` and not what was used."""
    limits = deployment({"tokens_per_minute": 60_000})
    await quota.reserve(limits, Tokens(0), interactive=False)
    await redis.hset(KEY, "level", 3000)
    await told(quota, limits, 3000)
    provider = Provider(others=0)
    await work(quota, limits, provider, 4, charged=150)
    assert provider.refused == 0
    assert provider.left() < 2000, "and what is there is used"


async def test_our_own_use_is_not_taken_for_that_of_others(quota: Quota, redis: Redis) -> None:
    limits = deployment({"tokens_per_minute": 60_000})
    await quota.reserve(limits, Tokens(0), interactive=False)
    await redis.hset(KEY, "level", 3000)
    await told(quota, limits, 3000)
    provider = Provider(others=0)
    await work(quota, limits, provider, 4)
    assert provider.refused == 0
    assert await field(redis, "others") * 1000 < 200


async def test_a_count_from_when_the_call_began_is_told_from_one_at_its_end(quota: Quota, redis: Redis) -> None:
    """Some vendors count at the door: ten calls later that is not news, and nobody else's doing."""
    limits = deployment({"tokens_per_minute": 60_000})
    first = await quota.reserve(limits, Tokens(1000), interactive=False)
    assert isinstance(first, Reservation)
    for _ in range(10):
        await quota.reserve(limits, Tokens(1000), interactive=False)
    await quota.settle(first, Tokens(1000), left={"tokens": 59_000})
    assert await field(redis, "level") == pytest.approx(49_000, abs=200)
    second = await quota.reserve(limits, Tokens(1000), interactive=False)
    assert isinstance(second, Reservation)
    await quota.settle(second, Tokens(1000), left={"tokens": 28_000})
    assert await field(redis, "level") == pytest.approx(28_000, abs=200), "this one is news"


async def test_what_a_refused_call_was_short_of_is_not_given_back(quota: Quota, redis: Redis) -> None:
    """Our bucket held it, the provider's did not: given back, it would send the next call into the same refusal."""
    limits = deployment({"tokens_per_minute": 600, "requests_per_minute": 60})
    for said, expected in (({"tokens": 30.0, "requests": 9.0}, 30), ({}, 50)):
        await redis.delete(KEY, "penstock:bucket:requests:p")
        reservation = await quota.reserve(limits, Tokens(100), interactive=False)
        assert isinstance(reservation, Reservation)
        await redis.hset(KEY, "level", 0)
        await redis.hdel(KEY, "told_at")
        await quota.settle(reservation, Tokens(0), "refused", said)
        assert await field(redis, "level") == pytest.approx(expected, abs=2)


async def test_a_refusal_without_a_count_leaves_others_a_share(quota: Quota, redis: Redis) -> None:
    limits = deployment({"tokens_per_minute": 60_000})
    await quota.reserve(limits, Tokens(1000), interactive=False)
    for share in (0.1, 0.2, 0.3):
        await quota.pause(limits, 0.001, blind=True)
        assert await field(redis, "others") == pytest.approx(share, abs=0.01)
