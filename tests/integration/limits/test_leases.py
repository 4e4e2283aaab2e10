"""Places for concurrent calls."""

import asyncio
from typing import Any

import pytest
from bucket_model import deployment, nothing_spent
from hypothesis import given, settings
from hypothesis import strategies as st
from valkey_server import Valkey

from penstock.limits import holding
from penstock.limits.buckets import Scope, Tokens
from penstock.limits.quota import Quota, Refused, Reservation
from penstock.redis import Redis, connect
from penstock.store.attempts import Spent

ONE = Tokens(1)
KEY = "penstock:lease:p"


async def granted(answer: Any) -> Reservation:
    assert isinstance(answer, Reservation)
    return answer


async def test_no_more_calls_than_places_in_the_whole_fleet(quota: Quota, redis: Redis) -> None:
    limits = deployment({"concurrency": 2, "tokens_per_minute": 6000})
    other = Quota(redis, nothing_spent)
    held = [await granted(await one.reserve(limits, ONE, interactive=False)) for one in (quota, other)]
    with pytest.raises(TimeoutError):
        await asyncio.wait_for(quota.reserve(limits, ONE, interactive=False), 0.3)
    waiting = asyncio.create_task(quota.reserve(limits, ONE, interactive=False))
    await asyncio.sleep(0.02)
    assert not waiting.done()
    await other.settle(held[1], ONE)
    await granted(await waiting)
    await other.close()


async def test_a_place_given_back_here_wakes_who_waits_here(quota: Quota, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without looking again by the clock."""
    monkeypatch.setattr("penstock.limits.quota._LOOK_SECONDS", 60)
    limits = deployment({"concurrency": 1})
    first = await granted(await quota.reserve(limits, ONE, interactive=False))
    waiting = asyncio.create_task(quota.reserve(limits, ONE, interactive=False))
    await asyncio.sleep(0.05)
    quota.settle(first, ONE)
    await granted(await asyncio.wait_for(waiting, 60))


async def test_full_for_long_is_a_refusal_that_took_nothing(quota: Quota, redis: Redis) -> None:
    limits = deployment({"concurrency": 1, "requests_per_minute": 60})
    await quota.reserve(limits, ONE, interactive=False)
    refused = await quota.reserve(limits, ONE, interactive=True)
    assert isinstance(refused, Refused)
    assert refused.why == "concurrency"
    assert float(await redis.hget("penstock:bucket:requests:p", "level")) == 59


async def test_a_model_and_its_provider_both_have_places(quota: Quota, redis: Redis) -> None:
    limits = deployment({"concurrency": 5}, {"concurrency": 1})
    await quota.reserve(limits, ONE, interactive=False)
    assert (await quota.peek(limits, 1)).places == 0
    assert (await quota.peek(deployment({"concurrency": 5}), 1)).places == 4


async def test_places_of_a_dead_process_are_free_after_a_while(quota: Quota, redis: Redis) -> None:
    limits = deployment({"concurrency": 1})
    await quota.reserve(limits, ONE, interactive=False)
    for member in await redis.zrange(KEY, 0, -1):
        if member != b"known":
            await redis.zadd(KEY, {member: 1})  # renewed in 1970 for the last time
    await granted(await quota.reserve(limits, ONE, interactive=False))


async def test_a_living_process_keeps_its_places(quota: Quota, redis: Redis, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(holding, "RENEW_SECONDS", 0.01)
    limits = deployment({"concurrency": 1})
    await quota.reserve(limits, ONE, interactive=False)
    member = next(m for m in await redis.zrange(KEY, 0, -1) if m != b"known")
    await redis.zadd(KEY, {member: 1})
    await asyncio.sleep(0.1)
    assert await redis.zscore(KEY, member) > 1e12


async def test_after_a_loss_holders_put_their_places_back_before_others_get_any(
    redis: Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(holding, "RENEW_SECONDS", 0.02)
    monkeypatch.setattr("penstock.limits.quota._GRACE_MS", 200)

    async def one_runs(scope: Scope, seconds: float) -> Spent:
        return Spent(requests=1, running=1)

    limits = deployment({"concurrency": 1})
    holder, other = Quota(redis, nothing_spent), Quota(redis, one_runs)
    await granted(await holder.reserve(limits, ONE, interactive=False))
    await redis.flushall()
    with pytest.raises(TimeoutError):
        await asyncio.wait_for(other.reserve(limits, ONE, interactive=False), 0.5)
    assert await redis.zcard(KEY) == 2, "the holder's place, and the mark that the lease is known"
    for one in (holder, other):
        await one.close()


lives = st.lists(st.tuples(st.integers(0, 3), st.sampled_from(["settled", "released", "kept"])), max_size=30)


@settings(max_examples=40)
@given(lives, st.integers(1, 4))
def test_whoever_ends_or_crashes_there_are_never_more_than_the_places(
    valkey: Valkey, fleet_lives: list[tuple[int, str]], places: int
) -> None:
    async def test() -> None:
        redis = connect(valkey.url)
        await redis.flushall()
        limits = deployment({"concurrency": places})
        fleet = [Quota(redis, nothing_spent) for _ in range(4)]
        held: list[tuple[Quota, Reservation]] = []
        for process, end in fleet_lives:
            if len(held) < places:
                held.append(
                    (fleet[process], await granted(await fleet[process].reserve(limits, ONE, interactive=False)))
                )
            else:
                with pytest.raises(TimeoutError):
                    await asyncio.wait_for(fleet[process].reserve(limits, ONE, interactive=False), 0.005)
            if end != "kept" and held:
                owner, reservation = held.pop(0)
                await (owner.settle(reservation, ONE) if end == "settled" else owner.release(reservation))
            assert await redis.zcard(KEY) <= places + 1
        await asyncio.sleep(0.01)
        for one in fleet:
            await one._settles.drained()
        assert await redis.zcard(KEY) == len(held) + (1 if fleet_lives else 0)
        for one in fleet:
            await one.close()
        await redis.aclose()

    asyncio.run(test())
