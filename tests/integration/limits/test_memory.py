"""The same scripts with and without a Redis: what one process sees of its quota is the same."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import replace

import pytest
from bucket_model import deployment, nothing_spent

from penstock.limits.buckets import Tokens, tier_buckets
from penstock.limits.quota import Quota, Refused, Reservation
from penstock.redis import Redis


@pytest.fixture(params=["redis", "memory"])
async def either(request: pytest.FixtureRequest, redis: Redis) -> AsyncIterator[Quota]:
    quota = Quota(redis if request.param == "redis" else None, nothing_spent)
    yield quota
    await quota.close()


async def granted(quota: Quota, limits, tokens: int, **options) -> Reservation:
    answer = await quota.reserve(limits, Tokens(tokens), **{"interactive": False} | options)
    assert isinstance(answer, Reservation), answer
    return answer


async def test_buckets_are_drawn_settled_and_refilled(either: Quota) -> None:
    limits = deployment({"requests_per_minute": 600, "tokens_per_minute": 60_000})
    first = await granted(either, limits, 50_000)
    assert (await either.peek(limits, 0)).tokens == pytest.approx(10_000, abs=50)
    await either.settle(first, Tokens(20_000))
    room = await either.peek(limits, 0)
    assert (room.tokens, room.requests) == (pytest.approx(40_000, abs=100), pytest.approx(599, abs=1))
    await either.release(await granted(either, limits, 30_000))
    assert (await either.peek(limits, 0)).tokens == pytest.approx(40_000, abs=200)


async def test_a_dry_bucket_is_reserved_ahead_and_then_refused(either: Quota) -> None:
    limits = deployment({"tokens_per_minute": 60_000, "burst_seconds": 1})
    waits = [(await granted(either, limits, size, interactive=True)).wait for size in (1000, 500, 1000)]
    assert waits == [0, pytest.approx(0.5, abs=0.05), pytest.approx(1.5, abs=0.05)]
    refused = await either.reserve(limits, Tokens(900), interactive=True)
    assert isinstance(refused, Refused)
    assert (refused.why, refused.wait) == ("quota", pytest.approx(2.4, abs=0.05))


async def test_places(either: Quota) -> None:
    limits = deployment({"concurrency": 1})
    held = await granted(either, limits, 1)
    waiting = asyncio.create_task(granted(either, limits, 1))
    await asyncio.sleep(0.02)
    assert not waiting.done()
    await either.settle(held, Tokens(1))
    await asyncio.wait_for(waiting, 60)


async def test_the_breaker_opens_probes_and_closes(either: Quota) -> None:
    limits = deployment({})
    limits = replace(limits, gate=replace(limits.gate, failures=2, reset_ms=30, probes=1))
    for _ in range(2):
        await either.settle(await granted(either, limits, 1), Tokens(0), "failed")
    refused = await either.reserve(limits, Tokens(1), interactive=False)
    assert isinstance(refused, Refused)
    assert refused.why == "breaker"
    assert (await either.peek(limits, 1)).shut > 0
    await asyncio.sleep(0.04)
    probe = await granted(either, limits, 1)
    assert probe.probe
    await either.settle(probe, Tokens(1))
    assert not (await granted(either, limits, 1)).probe


async def test_pauses_tiers_and_what_the_provider_says(either: Quota) -> None:
    limits = deployment({"tokens_per_minute": 60_000})
    tier = tier_buckets(_config(), "acme", "free")
    call = await granted(either, limits, 4000, tier=tier)
    await either.settle(call, Tokens(4000), left={"tokens": 30_000})
    assert (await either.peek(limits, 0)).tokens == pytest.approx(30_000 - 600, abs=100), "less the margin"
    refused = await either.reserve(limits, Tokens(9000), interactive=False, tier=tier)
    assert isinstance(refused, Refused)
    assert refused.why == "tier"
    await either.pause(limits, 30)
    assert isinstance(await either.reserve(limits, Tokens(1), interactive=True), Refused)


def _config():
    from penstock.configuration import Config

    return Config()
