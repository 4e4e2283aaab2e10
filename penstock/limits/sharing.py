"""Calls to Redis that wait for it, and that share one call when they are wanted at the same moment."""

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from typing import Generic, TypeVar

import structlog
from redis.exceptions import OutOfMemoryError, ReadOnlyError

from penstock import tasks
from penstock.redis import RedisConnectionError, RedisTimeoutError

_log = structlog.get_logger(__name__)

#: Redis is away, full or changing over; it will be back
_PASSING = (RedisConnectionError, RedisTimeoutError, OutOfMemoryError, ReadOnlyError)
#: seconds between attempts while it is not
_FIRST_PAUSE, _LONGEST_PAUSE = 0.05, 1.0
#: how many items share a call at most: Redis does nothing else while a script runs
_MOST = 100

Item = TypeVar("Item")
Answer = TypeVar("Answer")


async def patiently(call: Callable[[], Awaitable[Answer]]) -> Answer:
    """Make a call to Redis, again and again while it is away or full. The caller bounds the wait by cancelling.

    Raises:
        RedisError: what no waiting cures.
    """
    pause = _FIRST_PAUSE
    while True:
        try:
            return await call()
        except _PASSING as error:
            _log.warning("quota_waits_for_redis", seconds=pause, error=repr(error))
        await asyncio.sleep(pause)
        pause = min(2 * pause, _LONGEST_PAUSE)


class SharedCall(Generic[Item, Answer]):
    """Collects the items handed in during one turn of the event loop, or while a call is under way, into one call.

    `send` is given the items in order of arrival and returns their answers; one call is under way at a time. While
    Redis is away it is repeated, without the items whose future was cancelled meanwhile. An answer that comes for a
    cancelled future goes to `unclaimed`, with its item. An error of `send` goes to all who wait for that call.
    """

    def __init__(
        self,
        send: Callable[[Sequence[Item]], Awaitable[Sequence[Answer]]],
        unclaimed: Callable[[Item, Answer], None] | None = None,
    ) -> None:
        self._send = send
        self._unclaimed = unclaimed
        self._queue: deque[tuple[Item, asyncio.Future[Answer]]] = deque()
        self._sender: asyncio.Task[None] | None = None

    def submit(self, item: Item) -> "asyncio.Future[Answer]":
        """Hand in an item; the future brings its answer."""
        loop = asyncio.get_running_loop()
        future: asyncio.Future[Answer] = loop.create_future()
        self._queue.append((item, future))
        if self._sender is None:
            self._sender = loop.create_task(self._send_all())
        return future

    async def drained(self) -> None:
        """Wait until everything handed in was answered."""
        while self._sender is not None:
            await asyncio.wait([self._sender])

    async def close(self) -> None:
        """Stop; who still waits for an answer is cancelled."""
        if self._sender is not None:
            await tasks.end(self._sender)

    async def _send_all(self) -> None:
        batch: list[tuple[Item, asyncio.Future[Answer]]] = []
        try:
            while self._queue:
                batch = [self._queue.popleft() for _ in range(min(_MOST, len(self._queue)))]
                try:
                    await self._answer(batch)
                except Exception as error:  # noqa: BLE001 - not swallowed: whoever waits for this call gets it
                    for _, future in batch:
                        if not future.done():
                            future.set_exception(error)
        finally:
            self._sender = None
            for _, future in (*batch, *self._queue):
                future.cancel()
            self._queue.clear()

    async def _answer(self, batch: list[tuple[Item, "asyncio.Future[Answer]"]]) -> None:
        wanted = batch

        async def attempt() -> Sequence[Answer]:
            nonlocal wanted
            wanted = [entry for entry in wanted if not entry[1].cancelled()]
            return await self._send([item for item, _ in wanted]) if wanted else []

        answers = await patiently(attempt)
        for (item, future), answer in zip(wanted, answers, strict=True):
            if not future.cancelled():
                future.set_result(answer)
            elif self._unclaimed is not None:
                self._unclaimed(item, answer)
