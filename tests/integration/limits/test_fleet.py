"""What must hold whoever does what when: many processes, their crashes, and a Redis that forgets."""

import asyncio
import random
import time
from collections.abc import Coroutine
from typing import Any

import pytest
from bucket_model import BucketModel, Ledger, ReservationModel, deployment, horizon_ms, nothing_spent
from hypothesis import given, settings
from hypothesis import strategies as st
from valkey_server import Valkey

from penstock.limits.buckets import INTERACTIVE_HORIZON_MS, DeploymentLimits, Scope, Tokens
from penstock.limits.quota import Quota, Refused, Reservation
from penstock.limits.scripts import Scripts
from penstock.redis import Redis, connect
from penstock.store.attempts import Spent

#: Redis tells the time in microseconds, and two clocks are not one: a hundredth of a millisecond of refill
BLUR_MS = 0.01

#: these run dry and refill within a test: 60 or 100 tokens a millisecond
ONE = deployment({"requests_per_minute": 6_000, "tokens_per_minute": 3_600_000, "burst_seconds": 0.2})
ONE_FOR_ALL = deployment({"tokens_per_minute": 3_600_000, "burst_seconds": 0.2, "interactive_reserve": 0})
TWO = deployment(
    {"requests_per_minute": 12_000, "tokens_per_minute": 6_000_000, "burst_seconds": 0.2},
    {"tokens_per_minute": 1_200_000, "burst_seconds": 0.5, "interactive_reserve": 0.2},
)
#: these hardly refill: a token a millisecond
SLOW = deployment({"requests_per_minute": 20, "tokens_per_minute": 60_000})
SLOW_TWO = deployment({"requests_per_minute": 20, "tokens_per_minute": 60_000}, {"tokens_per_minute": 40_000})
LARGEST = 10_000

lanes = st.booleans()
sizes = st.one_of(st.integers(0, 50), st.integers(0, LARGEST))
fast = st.sampled_from([ONE, ONE_FOR_ALL, TWO])


def run(test: Coroutine[Any, Any, None]) -> None:
    asyncio.run(test)


async def server_time(redis: Redis) -> float:
    seconds, microseconds = await redis.time()
    return seconds * 1000 + microseconds / 1000


@settings(max_examples=60)
@given(fast, st.lists(st.tuples(st.sampled_from(["reserve", "settle", "release"]), sizes, lanes), max_size=40))
def test_the_script_answers_as_the_model_does(
    valkey: Valkey, limits: DeploymentLimits, steps: list[tuple[str, int, bool]]
) -> None:
    """Bucket by bucket and number by number. The script's own clock is read from what it wrote."""

    async def test() -> None:
        redis = connect(valkey.url)
        await redis.flushall()
        quota = Quota(redis, nothing_spent)
        await quota.peek(limits, 0)
        model = ReservationModel([BucketModel(b, b.capacity, await written(redis, b.key)) for b in limits.buckets])
        open_reservations: list[Reservation] = []
        for step, size, interactive in steps:
            if step == "reserve":
                answer = await reserve_like_the_model(redis, quota, model, limits, size, interactive)
                open_reservations += [answer] if isinstance(answer, Reservation) else []
            elif open_reservations:
                ended = open_reservations.pop(size % len(open_reservations))
                await (quota.settle(ended, Tokens(size)) if step == "settle" else quota.release(ended))
                for bucket in model.buckets:
                    back = bucket.size.amount(ended.tokens)
                    if step == "settle":
                        back = ended.tokens.total - size if bucket.size.resource == "tokens" else 0
                    bucket.settle(await written(redis, bucket.size.key), max(back, 0), max(-back, 0))
            for bucket in model.buckets:
                stored = float(await redis.hget(bucket.size.key, "level"))
                assert stored == pytest.approx(bucket.level, abs=1e-3), (step, bucket.size.key)
        await redis.aclose()

    run(test())


async def written(redis: Redis, key: str) -> float:
    return float(await redis.hget(key, "at"))


async def reserve_like_the_model(
    redis: Redis, quota: Quota, model: ReservationModel, limits: DeploymentLimits, tokens: int, interactive: bool
) -> Reservation | Refused:
    before = await server_time(redis)
    asked = Tokens(tokens)
    answer = await quota.reserve(limits, asked, interactive=interactive)
    after = await server_time(redis)
    if isinstance(answer, Refused):
        assert not model.goes(before, asked, interactive=interactive)
        shortest, longest = (model.wait(t, asked, interactive=interactive) for t in (after, before))
        assert shortest - 1e-3 <= answer.wait * 1000 <= longest + 1
    else:
        now = await written(redis, limits.buckets[0].key)
        assert before <= now <= after
        assert model.goes(now, asked, interactive=interactive)
        assert answer.wait * 1000 == pytest.approx(model.wait(now, asked, interactive=interactive), abs=1 + 1e-3)
        for bucket in model.buckets:
            bucket.take(now, bucket.size.amount(asked), answer.wait * 1000)
            bucket.interactive = bucket.interactive or interactive
    return answer


pauses = st.sampled_from([0.0, 0.0, 0.001, 0.005])
sends = st.tuples(sizes, lanes, pauses)


@settings(max_examples=40)
@given(
    st.sampled_from([ONE, ONE_FOR_ALL, TWO]), st.lists(st.lists(sends, min_size=1, max_size=8), min_size=2, max_size=6)
)
def test_in_no_window_is_more_sent_than_burst_and_refill(
    valkey: Valkey, limits: DeploymentLimits, fleet: list[list[tuple[int, bool, float]]]
) -> None:
    """Whatever the lanes and sizes of several processes, in every bucket, when the calls are really made."""

    async def test() -> None:
        redis = connect(valkey.url)
        await redis.flushall()
        sent = {bucket: Ledger() for bucket in limits.buckets}

        async def process(quota: Quota, plan: list[tuple[int, bool, float]]) -> None:
            for tokens, interactive, pause in plan:
                earliest = time.monotonic() * 1000
                answer = await quota.reserve(limits, Tokens(tokens), interactive=interactive)
                latest = time.monotonic() * 1000
                if isinstance(answer, Reservation):
                    for bucket, ledger in sent.items():
                        moments = (earliest + answer.wait * 1000, latest + answer.wait * 1000)
                        ledger.add(*moments, bucket.amount(Tokens(tokens)))
                await asyncio.sleep(pause)

        await asyncio.gather(*[process(Quota(redis, nothing_spent), plan) for plan in fleet])
        for bucket, ledger in sent.items():
            assert ledger.worst_excess(bucket) <= bucket.rate * BLUR_MS, bucket.key
        await redis.aclose()

    run(test())


ends = st.sampled_from(["settled", "released", "crashed"])
calls = st.tuples(st.integers(0, 20_000), st.floats(0, 1.2), lanes, ends, pauses)


@settings(max_examples=40)
@given(st.sampled_from([SLOW, SLOW_TWO]), st.lists(st.lists(calls, min_size=1, max_size=10), min_size=2, max_size=6))
def test_nothing_is_overspent_or_lost_whoever_crashes_or_gives_back(
    valkey: Valkey, limits: DeploymentLimits, fleet: list[list[tuple[int, float, bool, str, float]]]
) -> None:
    """What was granted and not given back is missing from each bucket, to the token but for the refill."""

    async def test() -> None:
        redis = connect(valkey.url)
        await redis.flushall()
        held = dict.fromkeys(limits.buckets, 0)
        beyond = 0

        async def call(quota: Quota, tokens: int, used: float, interactive: bool, end: str, pause: float) -> None:
            nonlocal beyond
            answer = await quota.reserve(limits, Tokens(tokens), interactive=interactive)
            if isinstance(answer, Refused):
                return
            await asyncio.sleep(pause)
            if end == "released":
                await quota.release(answer)
                return
            if end == "settled":
                beyond += max(0, int(tokens * used) - tokens)
                tokens = int(tokens * used)
                await quota.settle(answer, Tokens(tokens))
            for bucket in limits.buckets:
                held[bucket] += bucket.amount(Tokens(tokens))

        async def process(quota: Quota, plan: list[tuple[int, float, bool, str, float]]) -> None:
            half = len(plan) // 2
            await asyncio.gather(*[call(quota, *step) for step in plan[:half]])
            for step in plan[half:]:
                await call(quota, *step)

        begin = time.monotonic()
        await asyncio.gather(*[process(Quota(redis, nothing_spent), plan) for plan in fleet])
        for bucket in limits.buckets:
            refill = bucket.rate * (time.monotonic() - begin) * 1000
            allowed = bucket.capacity + refill + bucket.rate * INTERACTIVE_HORIZON_MS
            assert held[bucket] <= allowed + (beyond if bucket.resource == "tokens" else 0)
            left = bucket.capacity - held[bucket]
            stored = await redis.hget(bucket.key, "level")
            assert left - 1e-3 <= float(stored) <= left + refill + 1e-3, bucket.key
        await redis.aclose()

    run(test())


@settings(max_examples=15)
@given(st.lists(st.integers(1, 3000), min_size=1, max_size=30), lanes)
def test_work_that_waits_leaves_no_quota_idle(valkey: Valkey, amounts: list[int], interactive: bool) -> None:
    """When a reserve is refused, all that the lane may have within the horizon has been given away."""

    async def test() -> None:
        redis = connect(valkey.url)
        await redis.flushall()
        quotas = [Quota(redis, nothing_spent) for _ in range(3)]
        slow = deployment({"tokens_per_minute": 6000})
        bucket = slow.buckets[0]
        amount = amounts[0]
        for turn in range(10_000):
            amount = amounts[turn % len(amounts)]
            if isinstance(await quotas[turn % 3].reserve(slow, Tokens(amount), interactive=interactive), Refused):
                break
        level = float(await redis.hget(bucket.key, "level"))
        assert level < amount - bucket.rate * horizon_ms(interactive)
        await redis.aclose()

    run(test())


class TestSeeding:
    async def test_many_who_find_it_unknown_seed_it_once(self, redis: Redis) -> None:
        """Each counts something else; the level comes from one of them, and no reservation is forgotten by a second."""
        slow = deployment({"tokens_per_minute": 60, "burst_seconds": 6000, "interactive_reserve": 0})
        asked: list[int] = []

        def counts(spent: int) -> Quota:
            async def count(scope: Scope, seconds: float) -> Spent:
                await asyncio.sleep(random.random() / 100)
                asked.append(spent)
                return Spent(0, spent)

            return Quota(redis, count)

        quotas = [counts(1000 + 100 * n) for n in range(8)]
        await asyncio.gather(*[quota.reserve(slow, Tokens(1), interactive=True) for quota in quotas for _ in range(5)])
        level = float(await redis.hget(slow.buckets[0].key, "level"))
        assert any(level == pytest.approx(6000 - spent - 40, abs=20) for spent in asked)
        assert sorted(set(asked)) == sorted(asked), "one process asks once"

    async def test_the_first_seed_counts(self, redis: Redis) -> None:
        seed = Scripts(redis).seed
        assert [await seed(["a", "b"], [2, 5, -1, 6, -1]), await seed(["b", "c"], [2, 7, -1, 8, -1])] == [2, 1]
        assert [float(await redis.hget(key, "level")) for key in "abc"] == [5, 6, 8]

    async def test_provider_and_model_are_counted_apart(self, redis: Redis) -> None:
        """Over the time each takes to fill, as older calls no longer show in a level."""
        asked = []

        async def count(scope: Scope, seconds: float) -> Spent:
            asked.append((scope.provider, scope.model, seconds))
            return Spent(3, 300) if scope.model is None else Spent(1, 100)

        both = deployment(
            {"requests_per_minute": 60, "tokens_per_minute": 6000}, {"tokens_per_minute": 600, "burst_seconds": 120}
        )
        await Quota(redis, count).peek(both, 1)
        assert sorted(asked, key=str) == [("p", "m", pytest.approx(120)), ("p", None, pytest.approx(60))]
        assert [float(await redis.hget(b.key, "level")) for b in both.buckets] == [57, 5700, 1100]

    async def test_a_truth_that_cannot_be_asked_fails_the_reserve(self, redis: Redis) -> None:
        async def broken(scope: Scope, seconds: float) -> Spent:
            raise OSError("no database")

        quota = Quota(redis, broken)
        for _ in range(2):
            with pytest.raises(OSError, match="no database"):
                await quota.reserve(ONE, Tokens(1), interactive=False)

    async def test_a_redis_that_forgot_everything_does_not_open_the_gate(self, redis: Redis) -> None:
        slow = deployment({"requests_per_minute": 60, "tokens_per_minute": 6000})
        granted: list[int] = []

        async def count(scope: Scope, seconds: float) -> Spent:
            return Spent(len(granted), sum(granted))

        quotas = [Quota(redis, count) for _ in range(3)]

        async def until_refused(quota: Quota) -> None:
            while isinstance(await quota.reserve(slow, Tokens(200), interactive=True), Reservation):
                granted.append(200)

        begin = time.monotonic()
        for _ in range(3):
            await asyncio.gather(*[until_refused(quota) for quota in quotas])
            await redis.flushall()
            await redis.script_flush()
        elapsed = (time.monotonic() - begin) * 1000
        bucket = slow.buckets[1]
        assert sum(granted) <= bucket.capacity + bucket.rate * (elapsed + INTERACTIVE_HORIZON_MS)
        assert sum(granted) >= bucket.capacity


class TestRedisAway:
    async def test_a_reserve_waits_for_it_and_settles_are_kept(self, own_valkey: Valkey) -> None:
        redis = connect(own_valkey.url)
        quota = Quota(redis, nothing_spent)
        first = await quota.reserve(TWO, Tokens(10), interactive=False)
        own_valkey.kill()
        waiting = asyncio.create_task(quota.reserve(TWO, Tokens(10), interactive=False))
        settled = quota.settle(first, Tokens(5))
        await asyncio.sleep(0.2)
        assert not waiting.done()
        assert not settled.done()
        own_valkey.start()
        assert isinstance(await waiting, Reservation)
        await settled
        await quota.close()
        await redis.aclose()

    async def test_the_caller_bounds_the_wait(self, own_valkey: Valkey) -> None:
        redis = connect(own_valkey.url)
        quota = Quota(redis, nothing_spent)
        await quota.reserve(ONE, Tokens(10), interactive=False)
        own_valkey.kill()
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(quota.reserve(ONE, Tokens(10), interactive=False), 0.1)
        await quota.close()
        await redis.aclose()

    async def test_a_full_one_makes_it_wait_too(self, own_valkey: Valkey) -> None:
        redis = connect(own_valkey.url)
        quota = Quota(redis, nothing_spent)
        await quota.reserve(ONE, Tokens(10), interactive=False)
        await redis.config_set("maxmemory", "1")
        waiting = asyncio.create_task(quota.reserve(ONE, Tokens(10), interactive=False))
        await asyncio.sleep(0.2)
        assert not waiting.done()
        await redis.config_set("maxmemory", "0")
        assert isinstance(await waiting, Reservation)
        await quota.close()
        await redis.aclose()
