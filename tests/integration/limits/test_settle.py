"""What happens to a reservation afterwards."""

import asyncio

import pytest
from bucket_model import deployment, nothing_spent

from penstock.limits.buckets import Tokens
from penstock.limits.quota import Quota, Refused, Reservation
from penstock.limits.scripts import Scripts
from penstock.redis import Redis

TOKENS, REQUESTS = "penstock:bucket:tokens:p", "penstock:bucket:requests:p"


@pytest.fixture
def limits():
    """Refills by one token and a sixtieth request a second: what a test waits does not show."""
    return deployment({"requests_per_minute": 1, "tokens_per_minute": 60, "burst_seconds": 60_000})


async def levels(redis: Redis) -> tuple[float, float]:
    return float(await redis.hget(REQUESTS, "level")), float(await redis.hget(TOKENS, "level"))


async def test_unused_tokens_come_back_and_the_request_does_not(quota: Quota, redis: Redis, limits) -> None:
    await quota.settle(await quota.reserve(limits, Tokens(5000), interactive=False), Tokens(2000))
    assert await levels(redis) == pytest.approx((999, 58_000), abs=50)


async def test_tokens_beyond_the_estimate_are_taken_even_below_zero(quota: Quota, redis: Redis, limits) -> None:
    await quota.settle(await quota.reserve(limits, Tokens(5000), interactive=False), Tokens(80_000))
    assert await levels(redis) == pytest.approx((999, -20_000), abs=50)


async def test_a_released_reservation_comes_back_whole(quota: Quota, redis: Redis, limits) -> None:
    await quota.release(await quota.reserve(limits, Tokens(5000), interactive=False))
    assert await levels(redis) == (1000, 60_000)


async def test_nothing_comes_back_above_the_capacity(quota: Quota, redis: Redis) -> None:
    limits = deployment({"tokens_per_minute": 60_000_000, "burst_seconds": 0.001})
    reservation = await quota.reserve(limits, Tokens(900), interactive=False)
    await asyncio.sleep(0.01)  # it refills meanwhile
    await quota.release(reservation)
    assert float(await redis.hget(TOKENS, "level")) == 1000


async def test_a_reservation_ends_once(quota: Quota, redis: Redis, limits) -> None:
    reservation = await quota.reserve(limits, Tokens(5000), interactive=False)
    await quota.settle(reservation, Tokens(5000))
    await quota.release(reservation)
    await quota.settle(reservation, Tokens(0))
    assert await levels(redis) == pytest.approx((999, 55_000), abs=50)


async def test_settlements_of_one_moment_share_a_call(quota: Quota, redis: Redis, limits) -> None:
    taken = [await quota.reserve(limits, Tokens(100), interactive=False) for _ in range(20)]
    await redis.config_resetstat()
    await asyncio.gather(*[quota.settle(reservation, Tokens(90 + 2 * n)) for n, reservation in enumerate(taken)])
    assert (await redis.info("commandstats"))["cmdstat_evalsha"]["calls"] == 1
    assert await levels(redis) == pytest.approx((980, 60_000 - sum(90 + 2 * n for n in range(20))), abs=50)


async def test_who_stops_waiting_for_a_settlement_does_not_take_it_back(quota: Quota, redis: Redis, limits) -> None:
    settled = quota.settle(await quota.reserve(limits, Tokens(5000), interactive=False), Tokens(2000))
    settled.cancel()
    await quota.close()
    assert await levels(redis) == pytest.approx((999, 58_000), abs=50)


async def test_a_batch_that_comes_twice_counts_once(redis: Redis, quota: Quota, limits) -> None:
    """Its answer may have been lost on the way, so the sender repeats it."""
    await quota.reserve(limits, Tokens(5000), interactive=False)
    settle = Scripts(redis).settle
    bucket = limits.buckets[1]
    for batch, given_back in ((1, 100), (1, 100), (2, 10), (1, 100), (2, 10)):
        await settle(["sender", bucket.key], [batch, 1, 0, 0, bucket.rate, bucket.capacity, given_back, 0, 0, 0])
    assert float(await redis.hget(TOKENS, "level")) == pytest.approx(55_110, abs=50)


async def test_a_settlement_does_not_make_a_bucket(quota: Quota, redis: Redis, limits) -> None:
    """Redis forgot everything during the call: only a seed may say what is in a bucket."""
    reservation = await quota.reserve(limits, Tokens(5000), interactive=False)
    await redis.flushall()
    await quota.settle(reservation, Tokens(100))
    assert not await redis.exists(TOKENS)


@pytest.mark.parametrize("turns", range(12))
async def test_a_caller_cancelled_while_reserving_leaves_nothing_taken(
    quota: Quota, redis: Redis, limits, turns: int
) -> None:
    """In whatever turn of the event loop it hits: before the call, during it, or as its answer arrives."""
    await quota.release(await quota.reserve(limits, Tokens(1), interactive=False))
    caller = asyncio.create_task(quota.reserve(limits, Tokens(5000), interactive=False))
    for _ in range(turns):
        await asyncio.sleep(0 if turns < 6 else 0.0002)
    done = caller.done()
    caller.cancel()
    await asyncio.wait([caller])
    await quota._reserves.drained()
    await quota.close()
    assert (await levels(redis))[1] == pytest.approx(55_000 if done else 60_000, abs=50)


class TestPause:
    async def test_it_holds_for_the_whole_fleet_and_both_lanes(self, quota: Quota, redis: Redis, limits) -> None:
        await quota.reserve(limits, Tokens(1), interactive=False)
        await quota.pause(limits, 30, drain=False)
        other = Quota(redis, nothing_spent)
        for interactive in (False, True):
            answer = await other.reserve(limits, Tokens(1), interactive=interactive)
            assert isinstance(answer, Refused)
            assert 20 < answer.wait <= 30
        assert (await other.peek(limits, 10)).requests == 0

    async def test_a_short_one_is_waited_out(self, quota: Quota, limits) -> None:
        await quota.pause(limits, 1.9, drain=False)
        reservation = await quota.reserve(limits, Tokens(1), interactive=True)
        assert isinstance(reservation, Reservation)
        assert 0 < reservation.wait <= 1.9

    async def test_it_ends(self, quota: Quota, limits) -> None:
        await quota.pause(limits, 0.02, drain=False)
        await asyncio.sleep(0.05)
        assert (await quota.reserve(limits, Tokens(1), interactive=True)).wait == 0

    async def test_it_is_never_shortened(self, quota: Quota, limits) -> None:
        await quota.pause(limits, 30, drain=False)
        await quota.pause(limits, 1, drain=False)
        assert (await quota.reserve(limits, Tokens(1), interactive=True)).wait > 20

    async def test_it_may_come_before_the_bucket_is_known_and_outlives_its_seeding(
        self, quota: Quota, redis: Redis, limits
    ) -> None:
        await quota.pause(limits, 30)
        assert await redis.hget(TOKENS, "level") is None
        assert isinstance(await quota.reserve(limits, Tokens(1), interactive=True), Refused)
        assert float(await redis.hget(TOKENS, "level")) == 60_000

    async def test_it_empties_the_buckets_when_asked(self, quota: Quota, redis: Redis, limits) -> None:
        await quota.reserve(limits, Tokens(1), interactive=False)
        await quota.pause(limits, 1, drain=False)
        assert (await levels(redis))[1] > 59_000
        await quota.pause(limits, 1)
        assert await levels(redis) == (0, 0)

    async def test_it_stops_a_model_with_limits_of_its_own_and_not_its_neighbours(self, quota: Quota) -> None:
        shared = {"tokens_per_minute": 6000}
        await quota.pause(deployment(shared, {"tokens_per_minute": 600}), 30)
        assert isinstance(await quota.reserve(deployment(shared), Tokens(1), interactive=False), Reservation)
        paused = deployment(shared, {"tokens_per_minute": 600})
        assert isinstance(await quota.reserve(paused, Tokens(1), interactive=False), Refused)
