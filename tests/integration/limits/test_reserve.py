"""One reservation after another, against a real Valkey."""

import asyncio

import pytest
from bucket_model import deployment
from redis.exceptions import ResponseError

from penstock.errors import InvalidRequest
from penstock.limits.buckets import Tokens
from penstock.limits.quota import Quota, Refused, Reservation
from penstock.redis import Redis


async def level(redis: Redis, key: str) -> float:
    return float(await redis.hget(key, "level"))


async def fill_up(quota: Quota, limits, tokens: int, *, interactive: bool) -> list[Reservation]:
    """Reserve until refused."""
    taken = []
    while isinstance(answer := await quota.reserve(limits, Tokens(tokens), interactive=interactive), Reservation):
        taken.append(answer)
    return taken


async def test_a_reservation_takes_one_request_and_its_tokens(quota: Quota, redis: Redis) -> None:
    limits = deployment({"requests_per_minute": 60, "tokens_per_minute": 6000})
    reservation = await quota.reserve(limits, Tokens(1000), interactive=False)
    assert isinstance(reservation, Reservation)
    assert (reservation.tokens, reservation.wait, reservation.probe) == ((1000, 0), 0, False)
    assert await level(redis, "penstock:bucket:requests:p") == 59
    assert await level(redis, "penstock:bucket:tokens:p") == 5000


async def test_provider_and_model_are_both_drawn_from(quota: Quota, redis: Redis) -> None:
    limits = deployment({"tokens_per_minute": 6000}, {"tokens_per_minute": 2000})
    await quota.reserve(limits, Tokens(500), interactive=False)
    assert await level(redis, "penstock:bucket:tokens:p") == 5500
    assert await level(redis, "penstock:bucket:tokens:p/m") == 1500


async def test_one_dry_bucket_leaves_the_others_untouched(quota: Quota, redis: Redis) -> None:
    limits = deployment({"requests_per_minute": 60, "tokens_per_minute": 60_000}, {"tokens_per_minute": 600})
    await fill_up(quota, limits, 300, interactive=False)
    before = [await redis.hgetall(bucket.key) for bucket in limits.buckets]
    assert isinstance(await quota.reserve(limits, Tokens(300), interactive=False), Refused)
    assert [await redis.hgetall(bucket.key) for bucket in limits.buckets] == before


async def test_a_dry_bucket_is_reserved_ahead_one_behind_the_other(quota: Quota) -> None:
    """No herd: each is told a moment of its own; beyond half a second nothing is taken and the wait is told."""
    limits = deployment({"requests_per_minute": 240, "interactive_reserve": 0, "burst_seconds": 0.5})
    answers = await asyncio.gather(*[quota.reserve(limits, Tokens(1), interactive=False) for _ in range(8)])
    assert [answer.wait for answer in answers] == [0, 0, 0.25, 0.5, 0.75, 0.75, 0.75, 0.75]
    assert [type(answer) for answer in answers] == [Reservation] * 4 + [Refused] * 4


async def test_bulk_leaves_the_interactive_reserve(quota: Quota, redis: Redis) -> None:
    """Also when bulk has reserved ahead: an interactive call does not queue behind that debt."""
    limits = deployment({"tokens_per_minute": 60_000, "interactive_reserve": 0.1})
    await quota.reserve(limits, Tokens(1), interactive=True)
    bulk = await fill_up(quota, limits, 500, interactive=False)
    assert bulk[-1].wait > 0
    assert await level(redis, "penstock:bucket:tokens:p") >= 6000
    assert (await quota.reserve(limits, Tokens(6000), interactive=True)).wait == 0


async def test_without_interactive_calls_there_is_no_reserve(quota: Quota) -> None:
    """Quota that nobody waits for is not left idle; the first call to come waits two seconds at the most."""
    limits = deployment({"tokens_per_minute": 60_000, "interactive_reserve": 0.1})
    bulk = await fill_up(quota, limits, 500, interactive=False)
    assert len(bulk) >= 60_000 / 500
    first = await quota.reserve(limits, Tokens(500), interactive=True)
    assert isinstance(first, Reservation)


async def test_interactive_work_is_bounded_by_the_quota_too(quota: Quota, redis: Redis) -> None:
    limits = deployment({"tokens_per_minute": 60_000, "interactive_reserve": 0.5})
    await fill_up(quota, limits, 1000, interactive=True)
    assert await level(redis, "penstock:bucket:tokens:p") >= -2000


async def test_bulk_that_fits_only_a_full_bucket_goes_when_it_is_full(quota: Quota) -> None:
    """Without this it would wait for ever: the level never exceeds the capacity by the floor."""
    limits = deployment({"tokens_per_minute": 60_000, "interactive_reserve": 0.1})
    await quota.settle(await quota.reserve(limits, Tokens(1), interactive=True), Tokens(0))
    assert (await quota.reserve(limits, Tokens(60_000), interactive=False)).wait == 0
    assert isinstance(await quota.reserve(limits, Tokens(60_000), interactive=False), Refused)


async def test_a_request_larger_than_a_bucket_is_an_error(quota: Quota, redis: Redis) -> None:
    limits = deployment({"tokens_per_minute": 60_000}, {"tokens_per_minute": 6000})
    with pytest.raises(InvalidRequest, match=r"6001 tokens.*`p/m`.*at most 6000"):
        await quota.reserve(limits, Tokens(6001), interactive=True)
    assert await redis.keys("*") == []


async def test_an_error_that_will_not_pass_is_raised(quota: Quota, redis: Redis) -> None:
    limits = deployment({"tokens_per_minute": 60_000})
    await redis.set(limits.buckets[0].key, "not a bucket")
    with pytest.raises(ResponseError, match="WRONGTYPE"):
        await quota.reserve(limits, Tokens(1), interactive=True)


async def test_without_limits_only_the_gate_is_asked(quota: Quota, redis: Redis) -> None:
    limits = deployment({})
    reservation = await quota.reserve(limits, Tokens(10**9), interactive=False)
    assert isinstance(reservation, Reservation)
    await quota.settle(reservation, Tokens(5))
    await quota.release(await quota.reserve(limits, Tokens(1), interactive=True))
    assert (await quota.peek(limits, 10)).tokens == float("inf")
    await quota.pause(limits, 10)
    assert isinstance(await quota.reserve(limits, Tokens(1), interactive=True), Refused)
    assert (await quota.peek(limits, 1)).shut > 9


async def test_what_one_process_wants_at_once_is_one_call_answered_in_order(quota: Quota, redis: Redis) -> None:
    limits = deployment({"tokens_per_minute": 60_000, "interactive_reserve": 0, "burst_seconds": 1})
    await quota.release(await quota.reserve(limits, Tokens(1), interactive=False))
    await redis.config_resetstat()
    wishes = [quota.reserve(limits, Tokens(size), interactive=True) for size in (700, 400, 200, 900, 300)]
    waits = [answer.wait for answer in await asyncio.gather(*wishes)]
    assert (await redis.info("commandstats"))["cmdstat_evalsha"]["calls"] == 1
    assert waits == [0, 0.1, 0.3, 1.2, 1.5]


async def test_peek_says_what_a_reserve_would_grant(quota: Quota) -> None:
    limits = deployment({"requests_per_minute": 60, "tokens_per_minute": 600, "burst_seconds": 6000})
    await quota.reserve(limits, Tokens(30_000), interactive=False)
    room = await quota.peek(limits, 1)
    assert room.requests == pytest.approx(6000, abs=1)
    granted = await fill_up(quota, limits, 100, interactive=False)
    assert len(granted) * 100 == pytest.approx(room.tokens, abs=200)
    assert (await quota.peek(limits, 1)).tokens < 200


async def test_peek_is_the_narrower_of_provider_and_model(quota: Quota) -> None:
    limits = deployment({"requests_per_minute": 600}, {"requests_per_minute": 6, "interactive_reserve": 0})
    room = await quota.peek(limits, 0)
    assert room.requests == pytest.approx(6)
    assert room.tokens == float("inf")
