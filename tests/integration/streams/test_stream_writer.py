"""When the chunks of a stream go to Redis."""

import asyncio
from uuid import UUID

import pytest

from penstock.completion.events import PartDelta
from penstock.ids import new_id
from penstock.redis import Redis
from penstock.streams import writer
from penstock.streams.entries import Ended, Started
from penstock.streams.reader import published
from penstock.streams.writer import StreamWriter

WORKER = UUID(int=1)


async def test_an_end_is_sent_at_once_and_chunks_before_it_wait_for_company(
    redis: Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(writer, "FLUSH_SECONDS", 600.0)
    streams = StreamWriter(redis, WORKER)
    running = asyncio.create_task(streams.run())
    stream = streams.open(new_id(), 1)
    try:
        async with asyncio.timeout(30):
            stream.append(Started())
            while not stream.written:
                await asyncio.sleep(0.01)
            stream.append(PartDelta(0, "four"))
            await asyncio.sleep(0.1)
            assert await published(redis, stream.job_id, 1, WORKER) == [Started()]
            stream.append(Ended("succeeded"))
            while stream.written < 3:
                await asyncio.sleep(0.01)
    finally:
        running.cancel()
    whole = [Started(), PartDelta(0, "four"), Ended("succeeded")]
    assert await published(redis, stream.job_id, 1, WORKER) == whole
