"""The two tiers, and who makes an answer, over a real Valkey and with several processes' worth of flights."""

import asyncio
import time
from collections.abc import AsyncIterator
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

import pytest
from servers import Servers

from penstock.cache import coalesce
from penstock.cache.coalesce import Flights, Found, Turn
from penstock.cache.exact import Entry, Memory, Shared
from penstock.cache.roundtrips import RoundTrips
from penstock.completion import CompletionResult, EmbeddingResult, ResultPart, Usage
from penstock.configuration.policies import CacheConfig
from penstock.redis import Redis, connect


@pytest.fixture(autouse=True)
def patient(monkeypatch: pytest.MonkeyPatch) -> None:
    """A machine that is busy with other tests is no Redis that is away."""
    monkeypatch.setattr("penstock.cache.roundtrips._PATIENCE", 20.0)


@pytest.fixture
async def redis(embedded_servers: Servers) -> AsyncIterator[Redis]:
    client = connect(embedded_servers.redis, size=100)
    await client.flushdb()
    yield client
    await client.aclose()


def entry(text: str = "x", *, age: float = 0.0) -> Entry:
    part = ResultPart("text", text)
    result = CompletionResult((part,), ((0, 0, 0), (0, len(text), 0)), ("stop",), Usage(3, 4))
    return Entry(result, time.time() - age, Decimal("0.25"))


@dataclass
class Process:
    """One worker process's part."""

    memory: Memory
    flights: Flights
    made: int = 0

    async def answer(self, key: str, seconds: float = 0.05, *, fails: bool = False) -> str:
        found = await self.flights.enter(key, None)
        if isinstance(found, Found):
            return found.source
        self.made += 1
        await asyncio.sleep(seconds)
        await self.flights.leave(found, None if fails else entry(key), passing=False)
        return "made"


def process(redis: Redis, **config: Any) -> Process:
    settings = CacheConfig(**config)
    memory = Memory(settings.memory_bytes)
    return Process(memory, Flights(memory, Shared(redis, settings), settings.max_entry_bytes))


def test_an_entry_there_and_back():
    kept = entry("é" * 5000)
    assert len(kept.to_bytes()) < 1000, "it is compressed"
    back = Entry.from_bytes(kept.to_bytes())
    assert (back.result, back.cost) == (kept.result, kept.cost)
    assert abs(back.created - kept.created) < 0.001


def test_vectors_there_and_back():
    result = EmbeddingResult(([0.25, -1.5], [3.0]), Usage(7), "vectors-1").rounded()
    back = Entry.from_bytes(Entry(result, 12.0, None).to_bytes())
    assert (back.result, back.created, back.cost) == (result, 12.0, None)


def test_half_a_surrogate_pair_there_and_back():
    assert Entry.from_bytes(entry("\ud83d").to_bytes()).result == entry("\ud83d").result


def test_memory_keeps_to_its_budget_and_forgets_what_was_used_longest_ago():
    data = entry().to_bytes()
    memory = Memory(3 * len(data))
    for key in "abc":
        assert memory.put(key, data)
    memory.get("a", 0)
    memory.put("d", data)
    assert [key for key in "abcd" if memory.get(key, 0)] == ["a", "c", "d"]
    assert memory.bytes == 3 * len(data)
    assert not memory.put("e", b"0" * (4 * len(data)))
    assert memory.get("a", time.time() + 60) is None


async def test_redis_keeps_to_its_budget_and_the_first_to_expire_goes(redis: Redis):
    data = entry().to_bytes()
    shared = Shared(redis, CacheConfig(redis_bytes=3 * len(data)))
    for key in "abcd":
        await shared.leave(key, "", data, 0)
        await asyncio.sleep(0.002)
    assert [key for key in "abcd" if await shared.get(key, 0)] == ["b", "c", "d"]
    await shared.leave("b", "", data, 0)
    sizes = await redis.hgetall("penstock:cache:sizes")
    assert int(sizes.pop(b"total")) == 3 * len(data) == sum(map(int, sizes.values()))
    await shared.leave("huge", "", b"0" * (4 * len(data)), 0)
    assert await shared.get("huge", 0) is None


async def test_entries_expire_and_their_bytes_are_given_back(redis: Redis):
    shared = Shared(redis, CacheConfig(ttl=0.05))
    await shared.leave("a", "", entry().to_bytes(), 0)
    await asyncio.sleep(0.1)
    assert await shared.get("a", 0) is None
    data = entry().to_bytes()
    await shared.leave("b", "", data, 0)
    assert await redis.hget("penstock:cache:sizes", "total") == str(len(data)).encode()


async def test_an_entry_that_is_too_old_is_none(redis: Redis):
    one = process(redis)
    turn = await one.flights.enter("a", None)
    assert isinstance(turn, Turn)
    await one.flights.leave(turn, entry(age=100), passing=False)
    assert isinstance(await one.flights.enter("a", None), Found)
    assert isinstance(await one.flights.enter("a", 200), Found)
    again = await one.flights.enter("a", 50)
    assert isinstance(again, Turn)
    await one.flights.leave(again, None, passing=True)


async def test_one_call_for_many_askers_in_many_processes(redis: Redis):
    fleet = [process(redis) for _ in range(4)]
    asked = [one.answer(f"k{n % 10}") for n in range(100) for one in fleet]
    answers = await asyncio.gather(*asked)
    assert answers.count("made") == 10
    assert set(answers) <= {"made", "coalesced", "redis", "memory"}
    assert await process(redis).answer("k1") == "redis"


async def test_when_the_leader_dies_another_takes_over(redis: Redis, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(coalesce, "LEAD_MS", 300)
    dying, living = process(redis), process(redis)
    turn = await dying.flights.enter("a", None)
    assert isinstance(turn, Turn)
    await dying.flights.close()
    assert await asyncio.gather(*(living.answer("a") for _ in range(5))) == ["made", *["coalesced"] * 4]


async def test_a_leader_that_works_longer_than_its_lead_renews_it(redis: Redis, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(coalesce, "LEAD_MS", 300)
    monkeypatch.setattr(coalesce, "_RENEW_SECONDS", 0.05)
    slow, other = process(redis), process(redis)
    assert sorted(await asyncio.gather(slow.answer("a", 1.0), other.answer("a", 1.0))) == ["coalesced", "made"]


async def test_when_the_leader_fails_those_who_wait_go_alone_at_once(redis: Redis):
    one, other = process(redis), process(redis)
    first = asyncio.create_task(one.answer("a", 0.2, fails=True))
    await asyncio.sleep(0.05)
    waiting = [asyncio.create_task(who.answer("a", 0.2, fails=True)) for who in (one, other) for _ in range(20)]
    await asyncio.gather(first, *waiting)
    assert (one.made, other.made) == (21, 20)


async def test_when_the_leader_is_put_off_another_leads(redis: Redis):
    one, other = process(redis), process(redis)
    turn = await one.flights.enter("a", None)
    assert isinstance(turn, Turn)
    waiting = [asyncio.create_task(who.answer("a")) for who in (one, other) for _ in range(5)]
    await asyncio.sleep(0.05)
    await one.flights.leave(turn, None, passing=True)
    assert sorted(await asyncio.gather(*waiting)) == [*["coalesced"] * 9, "made"]


async def test_one_who_waits_may_leave(redis: Redis):
    one, other = process(redis), process(redis)
    turn = await one.flights.enter("a", None)
    assert isinstance(turn, Turn)
    remote, behind = asyncio.create_task(other.answer("a")), asyncio.create_task(other.answer("a"))
    await asyncio.sleep(0.05)
    remote.cancel()
    await asyncio.sleep(0.05)
    await one.flights.leave(turn, entry(), passing=False)
    assert await behind == "coalesced"


async def test_a_lost_redis_is_a_miss_and_a_process_coalesces_its_own():
    gone = connect("redis://127.0.0.1:1/0", size=100)
    one = process(gone)
    answers = await asyncio.gather(*(one.answer("a") for _ in range(10)))
    assert sorted(answers) == [*["coalesced"] * 9, "made"]
    assert await one.answer("a") == "memory"
    assert await process(gone, memory_bytes=0).answer("a") == "made"
    await gone.aclose()


async def test_a_full_redis_is_a_miss(redis: Redis):
    await redis.config_set("maxmemory", 1)
    try:
        one = process(redis)
        assert await asyncio.gather(one.answer("a"), one.answer("a")) == ["made", "coalesced"]
    finally:
        await redis.config_set("maxmemory", 0)


async def test_after_a_flush_it_begins_anew(redis: Redis):
    data = entry().to_bytes()
    shared = Shared(redis, CacheConfig(redis_bytes=2 * len(data)))
    await shared.leave("a", "", data, 0)
    await redis.delete("penstock:cache:sizes")
    for key in "bcd":
        await shared.leave(key, "", data, 0)
    assert [key for key in "abcd" if await shared.get(key, 0)][-2:] == ["c", "d"]


async def test_what_is_wanted_at_one_moment_shares_a_round_trip(redis: Redis):
    shared = Shared(redis, CacheConfig())
    await shared.get("a", 0)
    before = await redis.info("commandstats")
    clients = await redis.info("clients")
    await asyncio.gather(*(shared.enter(f"k{n}", "me", 1000, 0.0) for n in range(120)))
    after = await redis.info("commandstats")
    assert after["cmdstat_evalsha"]["calls"] - before.get("cmdstat_evalsha", {"calls": 0})["calls"] == 120
    assert (await redis.info("clients"))["connected_clients"] == clients["connected_clients"]


async def test_a_server_that_began_anew_is_told_the_scripts_again(redis: Redis):
    one = process(redis)
    assert await one.answer("a") == "made"
    await redis.script_flush()
    assert await one.answer("b") == "made"
    assert await process(redis).answer("b") == "redis"


async def test_a_connection_that_was_cut_is_made_again(redis: Redis):
    one = process(redis)
    assert await one.answer("a") == "made"
    await redis.client_kill_filter(_type="normal", skipme=True)
    assert await one.answer("b") == "made"
    assert await process(redis).answer("b") == "redis"


async def test_a_command_that_is_refused_costs_the_others_nothing(redis: Redis):
    trips = RoundTrips(redis, [])
    await redis.set("penstock:cache:entry:a", b"x")
    wrong, right = trips.ask("LPUSH", "penstock:cache:entry:a", "1"), trips.ask("GET", "penstock:cache:entry:a")
    assert await asyncio.gather(wrong, right) == [None, b"x"]
    assert await trips.ask("GET", "penstock:cache:entry:a") is None, "it is left alone for a while"
    await trips.close()


async def test_one_who_goes_while_it_asks_leaves_no_lead(redis: Redis):
    one, other = process(redis), process(redis)
    going = asyncio.create_task(one.answer("a"))
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    going.cancel()
    await asyncio.wait([going])
    await one.flights.close()
    assert await redis.get("penstock:cache:lead:a") is None
    assert await other.answer("a") == "made"
