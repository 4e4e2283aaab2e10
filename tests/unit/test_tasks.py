"""Tasks that a process cannot do without."""

import asyncio
import os

import pytest

from penstock import tasks


@pytest.fixture
def exits(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    found: list[int] = []
    monkeypatch.setattr(os, "_exit", found.append)
    return found


async def test_its_error_ends_the_process(exits: list[int]) -> None:
    async def fails() -> None:
        raise ValueError("a fault")

    task = tasks.essential(fails())
    await asyncio.wait([task])
    await asyncio.sleep(0)
    assert exits == [70]


async def test_its_end_by_order_does_not(exits: list[int]) -> None:
    task = tasks.essential(asyncio.sleep(60))
    await tasks.end(task)
    await asyncio.sleep(0)
    assert exits == []
