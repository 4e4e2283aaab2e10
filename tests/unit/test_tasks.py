"""Tasks that a process cannot do without."""

import asyncio
import signal

import pytest

from penstock import tasks


@pytest.fixture
async def signals() -> asyncio.Queue[str]:
    heard: asyncio.Queue[str] = asyncio.Queue()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, heard.put_nowait, "SIGTERM")
    return heard


async def test_its_error_ends_the_process(signals: asyncio.Queue[str]) -> None:
    async def fails() -> None:
        raise ValueError("a fault")

    task = tasks.essential(fails())
    async with asyncio.timeout(10):
        assert await signals.get() == "SIGTERM"
    assert isinstance(task.exception(), ValueError)


async def test_its_end_by_order_does_not(signals: asyncio.Queue[str]) -> None:
    task = tasks.essential(asyncio.sleep(60))
    await tasks.end(task)
    await asyncio.sleep(0.05)
    assert signals.empty()
