"""The circuit breaker, shared by every process that asks the same Redis."""

import asyncio
from dataclasses import replace

import pytest
from bucket_model import deployment, nothing_spent
from hypothesis import given, settings
from hypothesis import strategies as st
from valkey_server import Valkey

from penstock.limits.breakers import CHANNEL, LOG_KEY
from penstock.limits.buckets import DeploymentLimits, Tokens
from penstock.limits.quota import Outcome, Quota, Refused, Reservation
from penstock.redis import Redis, connect

NONE = Tokens(0)


def gated(failures: int = 5, reset_ms: float = 60_000, probes: int = 3) -> DeploymentLimits:
    limits = deployment({})
    return replace(limits, gate=replace(limits.gate, failures=failures, reset_ms=reset_ms, probes=probes))


async def call(quota: Quota, limits: DeploymentLimits, outcome: Outcome) -> Reservation | Refused:
    """One call from its reservation to its end."""
    answer = await quota.reserve(limits, NONE, interactive=False)
    if isinstance(answer, Reservation):
        answer.begin()
        await quota.settle(answer, NONE, outcome)
    return answer


async def state(redis: Redis, limits: DeploymentLimits) -> str:
    return (await redis.hget(limits.gate.key, "state") or b"closed").decode()


async def test_it_opens_after_so_many_failures_in_a_row_and_refuses_the_whole_fleet(quota: Quota, redis: Redis) -> None:
    limits = gated()
    other = Quota(redis, nothing_spent)
    for one in (quota, other, quota, other, quota):
        assert isinstance(await call(one, limits, "failed"), Reservation)
    for one in (quota, other):
        refused = await call(one, limits, "answered")
        assert isinstance(refused, Refused)
        assert refused.why == "breaker"
        assert 59 < refused.wait <= 60
        assert one.shut_for(limits) > 59
    await other.close()


async def test_a_success_in_between_begins_the_count_anew(quota: Quota, redis: Redis) -> None:
    limits = gated()
    for outcome in ("failed",) * 4 + ("answered",) + ("failed",) * 4:
        await call(quota, limits, outcome)
    assert await state(redis, limits) == "closed"
    await call(quota, limits, "failed")
    assert await state(redis, limits) == "open"


async def test_a_call_from_before_the_failures_does_not_make_them_good(quota: Quota, redis: Redis) -> None:
    """What was under way when the provider died ends well for a while, and says nothing of the calls after that."""
    limits = gated()
    under_way = [await quota.reserve(limits, NONE, interactive=False) for _ in range(5)]
    await asyncio.sleep(0.005)
    for earlier in under_way:
        await call(quota, limits, "failed")
        assert isinstance(earlier, Reservation)
        await quota.settle(earlier, NONE, "answered")
    assert await state(redis, limits) == "open"


async def test_what_was_not_seen_counts_neither_way(quota: Quota, redis: Redis) -> None:
    limits = gated(failures=2)
    for outcome in ("failed", "unseen", "unseen", "failed"):
        await call(quota, limits, outcome)
    assert await state(redis, limits) == "open"


async def test_after_the_reset_only_probes_pass_and_their_success_closes_it(quota: Quota, redis: Redis) -> None:
    limits = gated(failures=1, reset_ms=20)
    await call(quota, limits, "failed")
    await asyncio.sleep(0.03)
    probes = [await quota.reserve(limits, NONE, interactive=False) for _ in range(3)]
    assert [isinstance(p, Reservation) and p.probe for p in probes] == [True] * 3
    assert isinstance(await quota.reserve(limits, NONE, interactive=False), Refused)
    for number, probe in enumerate(probes):
        assert await state(redis, limits) == "half_open", number
        assert isinstance(probe, Reservation)
        await quota.settle(probe, NONE)
    assert await state(redis, limits) == "closed"
    after = await quota.reserve(limits, NONE, interactive=False)
    assert isinstance(after, Reservation)
    assert not after.probe


async def test_one_failed_probe_opens_it_for_another_period(quota: Quota, redis: Redis) -> None:
    limits = gated(failures=1, reset_ms=20)
    await call(quota, limits, "failed")
    await asyncio.sleep(0.03)
    good, bad, late = [await quota.reserve(limits, NONE, interactive=False) for _ in range(3)]
    for probe, outcome in ((good, "answered"), (bad, "failed"), (late, "answered")):
        assert isinstance(probe, Reservation)
        await quota.settle(probe, NONE, outcome)
    assert await state(redis, limits) == "open"
    assert await redis.hget(limits.gate.key, "opened") == b"2"


async def test_a_probe_that_was_never_made_leaves_its_place_to_another(quota: Quota) -> None:
    limits = gated(failures=1, reset_ms=20, probes=1)
    await call(quota, limits, "failed")
    await asyncio.sleep(0.03)
    probe = await quota.reserve(limits, NONE, interactive=False)
    assert isinstance(probe, Reservation)
    assert isinstance(await quota.reserve(limits, NONE, interactive=False), Refused)
    await quota.release(probe)
    assert isinstance(await quota.reserve(limits, NONE, interactive=False), Reservation)


async def test_a_probe_of_a_dead_process_is_given_up(quota: Quota, redis: Redis) -> None:
    limits = gated(failures=1, reset_ms=20, probes=1)
    await call(quota, limits, "failed")
    await asyncio.sleep(0.03)
    assert isinstance(await quota.reserve(limits, NONE, interactive=False), Reservation)
    name = next(field for field in await redis.hkeys(limits.gate.key) if field.startswith(b"probe:"))
    await redis.hset(limits.gate.key, name, 1)  # as if nobody had renewed it since 1970
    assert isinstance(await quota.reserve(limits, NONE, interactive=False), Reservation)


async def test_changes_are_kept_and_told(quota: Quota, redis: Redis) -> None:
    limits = gated(failures=1, reset_ms=20, probes=1)
    async with redis.pubsub(ignore_subscribe_messages=True) as heard:
        await heard.subscribe(CHANNEL)
        await call(quota, limits, "failed")
        await asyncio.sleep(0.03)
        await call(quota, limits, "answered")
        told = []
        while len(told) < 3:
            message = await heard.get_message(timeout=2)
            told += [message["data"]] if message else []
    assert told == [b'["penstock:gate:p\\/m","%s"]' % name for name in (b"open", b"half_open", b"closed")]
    kept = [fields[b"state"] for _, fields in await redis.xrange(LOG_KEY)]
    assert kept == [b"open", b"half_open", b"closed"]


async def test_a_process_that_hears_of_it_knows_without_asking(quota: Quota) -> None:
    limits = gated()
    await call(quota, limits, "answered")
    quota.hear(limits.gate.key, "open")
    assert quota.shut_for(limits) > 59
    quota.hear(limits.gate.key, "closed")
    assert quota.shut_for(limits) == 0


async def test_a_redis_that_forgot_leaves_it_closed(quota: Quota, redis: Redis) -> None:
    limits = gated(failures=1)
    await call(quota, limits, "failed")
    await redis.flushall()
    assert isinstance(await call(quota, limits, "answered"), Reservation)


steps = st.lists(st.tuples(st.integers(0, 2), st.sampled_from(["answered", "failed", "unseen"])), max_size=40)


@settings(max_examples=60)
@given(steps, st.integers(1, 4), st.integers(1, 3))
def test_however_calls_interleave_a_dead_provider_is_asked_no_more_than_allowed(
    valkey: Valkey, interleaving: list[tuple[int, str]], failures: int, probes: int
) -> None:
    """Three processes, all calls fail from some moment on: then at most the threshold and what was under way goes out,
    and after each reset at most the probes."""

    async def test() -> None:
        redis = connect(valkey.url)
        await redis.flushall()
        limits = gated(failures, probes=probes)
        fleet = [Quota(redis, nothing_spent) for _ in range(3)]
        under_way: list[list[Reservation]] = [[], [], []]
        for process, outcome in interleaving:  # a provider in whatever shape
            answer = await fleet[process].reserve(limits, NONE, interactive=False)
            if isinstance(answer, Reservation):
                under_way[process].append(answer)
            if len(under_way[process]) > 2:
                await fleet[process].settle(under_way[process].pop(0), NONE, outcome)
        for process, calls in enumerate(under_way):
            for one in calls:
                await fleet[process].settle(one, NONE, "failed")
        asked = 0
        for _ in range(4):  # now it is dead: one call after the other, from everywhere
            for process in range(3):
                for _ in range(3):
                    asked += isinstance(await call(fleet[process], limits, "failed"), Reservation)
        first = asked
        assert first <= failures + probes
        await redis.hset(limits.gate.key, "since", 1)  # as if it had opened long ago
        later = [Quota(redis, nothing_spent) for _ in range(3)]
        answers = [await one.reserve(limits, NONE, interactive=False) for one in later for _ in range(4)]
        assert sum(isinstance(answer, Reservation) for answer in answers) == probes
        for one in (*fleet, *later):
            await one.close()
        await redis.aclose()

    asyncio.run(test())


@pytest.mark.parametrize("lane", [True, False])
async def test_both_lanes_are_refused(quota: Quota, lane: bool) -> None:
    limits = gated(failures=1)
    await call(quota, limits, "failed")
    assert isinstance(await quota.reserve(limits, NONE, interactive=lane), Refused)
