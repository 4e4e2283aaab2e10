import asyncio
from collections.abc import Sequence

import pytest
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import ResponseError

from penstock.limits.sharing import SharedCall


class Line:
    """The far end of a SharedCall: notes every call, answers each item with its double, and can be held or broken."""

    def __init__(self) -> None:
        self.calls: list[list[int]] = []
        self.open = asyncio.Event()
        self.open.set()
        self.errors: list[Exception] = []

    async def __call__(self, items: Sequence[int]) -> list[int]:
        self.calls.append(list(items))
        if self.errors:
            raise self.errors.pop(0)
        await self.open.wait()
        return [2 * item for item in items]


async def test_one_turn_of_the_loop_is_one_call_in_order() -> None:
    line = Line()
    call = SharedCall(line)
    assert await asyncio.gather(*[call.submit(n) for n in range(20)]) == [2 * n for n in range(20)]
    assert line.calls == [list(range(20))]


async def test_what_comes_while_a_call_is_under_way_shares_the_next() -> None:
    line = Line()
    line.open.clear()
    call = SharedCall(line)
    first = call.submit(1)
    await asyncio.sleep(0)
    later = [call.submit(2), call.submit(3)]
    await asyncio.sleep(0)
    assert line.calls == [[1]]
    line.open.set()
    assert await asyncio.gather(first, *later) == [2, 4, 6]
    assert line.calls == [[1], [2, 3]]


async def test_a_call_has_an_upper_size() -> None:
    line = Line()
    call = SharedCall(line)
    await asyncio.gather(*[call.submit(n) for n in range(250)])
    assert [len(items) for items in line.calls] == [100, 100, 50]


async def test_it_asks_again_while_redis_is_away_without_those_who_left() -> None:
    line = Line()
    line.errors = [RedisConnectionError("away")]
    call = SharedCall(line)
    stays, leaves = call.submit(1), call.submit(2)
    await asyncio.sleep(0)
    leaves.cancel()
    assert await stays == 2
    assert line.calls == [[1, 2], [1]]


async def test_nobody_left_means_no_further_attempt() -> None:
    line = Line()
    line.errors = [RedisConnectionError("away")]
    call = SharedCall(line)
    future = call.submit(1)
    await asyncio.sleep(0)
    future.cancel()
    await call.drained()
    assert line.calls == [[1]]


async def test_an_answer_nobody_waits_for_is_handed_over() -> None:
    line, unclaimed = Line(), []
    line.open.clear()
    call = SharedCall(line, lambda item, answer: unclaimed.append((item, answer)))
    leaves, stays = call.submit(1), call.submit(2)
    await asyncio.sleep(0)
    leaves.cancel()
    line.open.set()
    assert await stays == 4
    assert unclaimed == [(1, 2)]


async def test_an_error_that_will_not_pass_reaches_all_of_its_call_and_only_them() -> None:
    line = Line()
    line.errors = [ResponseError("WRONGTYPE")]
    call = SharedCall(line)
    first, second = call.submit(1), call.submit(2)
    await asyncio.wait([first, second])
    with pytest.raises(ResponseError):
        first.result()
    with pytest.raises(ResponseError):
        second.result()
    assert await call.submit(3) == 6


async def test_closing_cancels_who_waits() -> None:
    line = Line()
    line.open.clear()
    call = SharedCall(line)
    under_way = call.submit(1)
    await asyncio.sleep(0)
    queued = call.submit(2)
    await call.close()
    assert under_way.cancelled()
    assert queued.cancelled()
