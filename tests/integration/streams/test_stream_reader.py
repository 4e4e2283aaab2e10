"""One pub/sub connection feeds every subscriber of a process, whoever comes first and whatever becomes of it."""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from uuid import UUID

import pytest
from servers import Servers

from penstock.completion.encoding import dumps
from penstock.completion.events import PartDelta
from penstock.ids import new_ids
from penstock.redis import Redis, connect
from penstock.streams.entries import Ended, buffer_key, channel, encode, publication
from penstock.streams.reader import Owner, StreamReader, Subscription, was_read

WORKER = UUID(int=1)
#: what the reader under test calls its connections: others listen on a shared server too
NAME = "stream-reader-under-test"


async def nobody() -> Owner:
    """No worker has it: whatever a subscriber hears, it heard live."""
    return Owner("queued", 0, None)


@pytest.fixture
async def reader(redis: Redis, servers: Servers) -> AsyncIterator[StreamReader]:
    named = servers.redis + ("&" if "?" in servers.redis else "?") + f"client_name={NAME}"
    made = StreamReader(connect(named, size=4))
    running = asyncio.create_task(made.run())
    yield made
    assert not running.done(), "nothing may end it"
    running.cancel()
    await asyncio.wait([running])
    await made.close()


async def heard(subscription: Subscription) -> int:
    """The number of the next publication."""
    async with asyncio.timeout(60):
        return (await subscription.get())[2]


async def publish(redis: Redis, job_id: UUID, number: int) -> None:
    await redis.publish(channel(job_id), publication(1, WORKER, number, [["d", 0, "x"]]))


async def listeners(redis: Redis) -> list[str]:
    everyone = await redis.client_list()
    return [client["id"] for client in everyone if "P" in client["flags"] and client["name"] == NAME]


async def test_many_first_subscribers_at_once_share_one_connection(reader: StreamReader, redis: Redis) -> None:
    """Two on each channel: the second of a channel is there before the first one's order was carried out."""
    jobs = list(new_ids(10))
    async with contextlib.AsyncExitStack() as stack:
        entering = (stack.enter_async_context(reader.subscribe(job, nobody)) for job in jobs for _ in range(2))
        everyone = await asyncio.gather(*entering)
        assert len(await listeners(redis)) == 1
        for round_ in (1, 2, 3):
            for job in jobs:
                await publish(redis, job, round_)
            assert [await heard(subscription) for subscription in everyone] == [round_] * 20


async def test_it_listens_again_when_its_connection_was_cut(reader: StreamReader, redis: Redis) -> None:
    (job,) = new_ids(1)
    async with reader.subscribe(job, nobody) as subscription:
        await publish(redis, job, 1)
        assert await heard(subscription) == 1
        (before,) = await listeners(redis)
        await redis.client_kill_filter(_id=before)
        # what is published before it listens again is found in the buffer, which this test has not
        hearing = asyncio.create_task(heard(subscription))
        while not hearing.done():
            await publish(redis, job, 2)
            await asyncio.sleep(0.02)
        assert await hearing == 2
        assert len(await listeners(redis)) == 1


async def test_a_channel_is_left_and_taken_again(reader: StreamReader, redis: Redis) -> None:
    (job,) = new_ids(1)
    for number in (1, 2, 3):
        async with reader.subscribe(job, nobody) as subscription:
            await publish(redis, job, number)
            assert await heard(subscription) == number


async def test_a_reader_is_known_to_have_been_there_unless_its_call_is_the_one_that_waits(
    reader: StreamReader, redis: Redis
) -> None:
    background, foreground = new_ids(2)
    async with reader.subscribe(background, nobody), reader.subscribe(foreground, nobody, mark=False):
        pass
    assert await was_read(redis, background)
    async with asyncio.timeout(10):
        while await was_read(redis, foreground):  # until the order to listen no more has arrived
            await asyncio.sleep(0.01)


async def test_a_reader_far_behind_holds_little_and_misses_nothing(redis: Redis, reader: StreamReader) -> None:
    """What was dropped for it is read from the buffer when it comes round."""
    slow, marker = new_ids(2)
    deltas = 5_000

    async def owner() -> Owner:
        return Owner("running", 1, WORKER)

    async with reader.subscribe(slow, owner) as subscription, reader.subscribe(marker, nobody) as other:
        for number in range(1, deltas + 2):
            value = encode(PartDelta(0, f"{number} ") if number <= deltas else Ended("succeeded"))
            await redis.xadd(buffer_key(slow, 1, WORKER), {"d": dumps(value)}, id=f"{number}-0")
            await redis.publish(channel(slow), publication(1, WORKER, number, [value]))
            if number == 1:
                entries = subscription.entries()
                assert await anext(entries) == PartDelta(0, "1 ")
        await publish(redis, marker, 1)
        assert await heard(other) == 1, "everything before it was handed on"
        assert subscription.waiting < deltas / 2
        rest = [entry async for entry in entries]
    assert rest == [PartDelta(0, f"{number} ") for number in range(2, deltas + 1)] + [Ended("succeeded")]
