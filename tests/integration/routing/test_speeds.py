"""Live statistics in a real Redis: what workers write, what is read of it, and that it stays small."""

import pytest

from penstock.redis import Redis, connect
from penstock.routing.speeds import STALE_SECONDS, Speeds, speed_key
from penstock.routing.statistics import WINDOW_CALLS, WINDOW_SECONDS, Sample


async def test_what_one_process_writes_another_reads(redis: Redis):
    writer, reader = Speeds(redis), Speeds(redis)
    writer.add("a", Sample(1.0, 100, 0.5))
    writer.add("a", Sample(3.0, 300, 1.0))
    writer.add("b", Sample(0.1, 0, failed=True))
    assert await reader.known(["a", "b", "c"]) == {}
    await writer.flush()
    fresh = await Speeds(redis).known(["a", "b", "c"])
    assert fresh is not None
    assert fresh.keys() == {"a", "b"}
    assert (fresh["a"].calls, fresh["a"].seconds_p95, fresh["b"].failures) == (2, 3.0, 1)
    # what was read a moment ago is good for a second
    assert await reader.known(["a"]) == {}


async def test_only_the_newest_calls_count_and_memory_is_bounded(redis: Redis):
    speeds = Speeds(redis)
    for seconds in (9.0, 1.0):
        for _ in range(40):
            for _ in range(100):
                speeds.add("a", Sample(seconds, 10))
            await speeds.flush()
    found = await speeds.known(["a"])
    assert found is not None
    assert (found["a"].calls, found["a"].seconds_p95) == (WINDOW_CALLS, 1.0)
    assert await redis.xlen(speed_key("a")) <= WINDOW_CALLS
    assert await redis.memory_usage(speed_key("a"), samples=0) < 50_000
    assert 0 < await redis.ttl(speed_key("a")) <= WINDOW_SECONDS


async def test_what_was_read_holds_over_a_moment_without_redis(redis: Redis, monkeypatch: pytest.MonkeyPatch):
    now = 0.0
    speeds = Speeds(redis, lambda: now)
    speeds.add("a", Sample(1.0, 10))
    await speeds.flush()
    known = await speeds.known(["a"])
    assert known
    monkeypatch.setattr(speeds, "_redis", connect("redis://127.0.0.1:1", size=1))
    now = STALE_SECONDS / 2
    assert await speeds.known(["a"]) == known
    assert await speeds.known(["a", "b"]) is None
    now = 2 * STALE_SECONDS
    assert await speeds.known(["a"]) is None


async def test_nobody_can_tell_while_redis_is_away():
    away = Speeds(connect("redis://127.0.0.1:1", size=1))
    away.add("a", Sample(1.0, 10))
    await away.flush()
    assert await away.known(["a"]) is None
    assert await away.known(["a"]) is None


async def test_a_process_without_a_redis_knows_its_own_calls():
    own = Speeds(None)
    own.add("a", Sample(1.0, 10))
    await own.flush()
    found = await own.known(["a", "b"])
    assert found is not None
    assert found.keys() == {"a"}
