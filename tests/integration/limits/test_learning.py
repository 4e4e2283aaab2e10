"""What is learnt of a provider from its own rate-limit headers and refusals."""

import asyncio

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
    await told(quota, limits, 0)
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


async def test_steady_use_by_others_slows_us_down_and_is_forgotten_when_it_ends(
    quota: Quota, redis: Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The provider's count sinks by 600 tokens a second beside our own use; the rate is 1,000 a second."""
    limits = deployment({"tokens_per_minute": 60_000})
    await quota.reserve(limits, Tokens(1000), interactive=False)
    left = 30_000.0
    await told(quota, limits, left)
    clock = asyncio.get_running_loop().time()
    for _ in range(5):
        await asyncio.sleep(0.55)
        now = asyncio.get_running_loop().time()
        left += 0.4 * (now - clock) * 1000
        clock = now
        await told(quota, limits, left)
    room = await quota.look(limits.buckets)
    state = room.buckets[limits.buckets[0]]
    assert state is not None
    others = (limits.buckets[0].rate - state.rate) * 1000
    assert others == pytest.approx(600 * (1 - (1 - 0.275) ** 5), rel=0.15)
    for _ in range(6):
        await asyncio.sleep(0.55)
        now = asyncio.get_running_loop().time()
        left += (now - clock) * 1000
        clock = now
        await told(quota, limits, left)
    assert await field(redis, "others") * 1000 < others / 3


async def test_our_own_use_is_not_taken_for_that_of_others(quota: Quota, redis: Redis) -> None:
    limits = deployment({"tokens_per_minute": 60_000})
    await quota.reserve(limits, Tokens(0), interactive=False)
    left = 50_000.0
    await redis.hset(KEY, "level", left)
    await told(quota, limits, left)
    for _ in range(3):
        await asyncio.sleep(0.55)
        await quota.reserve(limits, Tokens(2000), interactive=False)
        left += 550 - 2000
        await told(quota, limits, left)
    assert await field(redis, "others") * 1000 < 30


async def test_a_refusal_without_a_count_leaves_others_a_share(quota: Quota, redis: Redis) -> None:
    limits = deployment({"tokens_per_minute": 60_000})
    await quota.reserve(limits, Tokens(1000), interactive=False)
    for share in (0.1, 0.2, 0.3):
        await quota.pause(limits, 0.001, blind=True)
        assert await field(redis, "others") == pytest.approx(share, abs=0.01)
