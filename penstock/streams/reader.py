"""The reader's side of streams: one pub/sub connection per process feeds every subscriber.

A subscriber subscribes first and reads the buffer second, once; after that it lives from what is published and reads
the buffer again only where it sees a gap, or once a second when nothing comes. Reading the buffer at every ring cost
forty times the delay, and overlapping reads gave tokens twice: so each subscription has one serial reader.
"""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass
from typing import Any
from uuid import UUID

import structlog

from penstock.completion.encoding import loads
from penstock.redis import Redis, RedisError
from penstock.rules.lifecycle import TERMINAL
from penstock.streams.entries import (
    Ended,
    Reset,
    StreamEntry,
    buffer_key,
    channel,
    decode,
    read_publication,
    wanted_key,
)

#: seconds without news after which a reader looks by itself, in Postgres and in the buffer
LOOK_SECONDS = 1.0
_WANTED_SECONDS = 3600
#: publications kept for a reader that is behind; more are read from the buffer again
_WAITING_ENTRIES = 1000

_log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class Owner:
    """Who works on a job now, as Postgres says: its state, epoch and worker."""

    state: str
    epoch: int
    worker_id: UUID | None


#: asks Postgres; None when the job is gone
AskOwner = Callable[[], Awaitable[Owner | None]]

_Item = tuple[int, str, int, list[list[Any]]]


class Subscription:
    """One reader of one job's stream. Open before the job is looked at, so that nothing falls between."""

    def __init__(self, redis: Redis, job_id: UUID, ask_owner: AskOwner) -> None:
        self._redis = redis
        self._job_id = job_id
        self._ask_owner = ask_owner
        self._queue: asyncio.Queue[_Item] = asyncio.Queue(_WAITING_ENTRIES)
        self._owner: tuple[int, str] = (0, "")
        self._seen = 0

    def put(self, item: _Item) -> None:
        """Hand it what was published. Where its reader is far behind, what waits is dropped: the buffer has it."""
        if self._queue.full():
            while not self._queue.empty():
                self._queue.get_nowait()
        self._queue.put_nowait(item)

    @property
    def waiting(self) -> int:
        """How many publications its reader has not taken yet."""
        return self._queue.qsize()

    async def get(self) -> _Item:
        """The next of what was published."""
        return await self._queue.get()

    async def entries(self) -> AsyncIterator[StreamEntry | Reset]:
        """Every entry once, in order, ending with `Ended`.

        A `Reset` says that another epoch took over after entries of an earlier one were given.
        """
        while True:
            owner = await self._ask_owner()
            if owner is None:
                return
            if owner.worker_id is not None and self._follow(owner.epoch, owner.worker_id.hex):
                yield Reset()
            for entry in await self._read_buffer():
                yield entry
                if isinstance(entry, Ended):
                    return
            if owner.state in TERMINAL:
                # the last entry may be lost with Redis; Postgres is the truth
                yield Ended(owner.state)
                return
            async for live in self._live():
                yield live
                if isinstance(live, Ended):
                    return

    async def _live(self) -> AsyncIterator[StreamEntry | Reset]:
        """Published entries until nothing comes for a while."""
        while True:
            try:
                # not `wait_for`: until Python 3.12 that makes a task for every entry of every reader
                async with asyncio.timeout(LOOK_SECONDS):
                    epoch, worker, first, values = await self.get()
            except TimeoutError:
                return
            if (epoch, worker) != self._owner:
                if epoch < self._owner[0]:
                    continue
                if self._follow(epoch, worker):
                    yield Reset()
            if first > self._seen + 1:
                for entry in await self._read_buffer():
                    yield entry
            for number, value in enumerate(values, first):
                if number == self._seen + 1:
                    self._seen = number
                    yield decode(value)

    def _follow(self, epoch: int, worker: str) -> bool:
        """Turn to another epoch; True when entries of the one before were already given."""
        if (epoch, worker) == self._owner:
            return False
        had = self._seen > 1
        self._owner, self._seen = (epoch, worker), 0
        return had

    async def _read_buffer(self) -> list[StreamEntry]:
        epoch, worker = self._owner
        if not worker:
            return []
        key = buffer_key(self._job_id, epoch, UUID(hex=worker))
        try:
            rows: Any = await self._redis.xrange(key, min=f"{self._seen + 1}-0")
        except (RedisError, OSError):
            _log.warning("streams: the buffer cannot be read now", job=self._job_id.hex)
            return []
        found = []
        for entry_id, fields in rows:
            number = int(entry_id.split(b"-")[0])
            if number != self._seen + 1:
                break
            self._seen = number
            found.append(decode(loads(fields[b"d"])))
        return found


async def was_read(redis: Redis, job_id: UUID) -> bool:
    """Whether somebody may have read what was published of a job: a reader says that it is there before it reads.

    Where Redis forgot that, those who listen now still count.

    Raises:
        RedisError: nobody knows.
    """
    if await redis.exists(wanted_key(job_id)):
        return True
    ((_, listeners),) = await redis.pubsub_numsub(channel(job_id))
    return bool(listeners)


async def published(redis: Redis, job_id: UUID, epoch: int, worker_id: UUID) -> list[StreamEntry]:
    """What Redis still has of one epoch's stream. Raises as `was_read`."""
    rows: Any = await redis.xrange(buffer_key(job_id, epoch, worker_id))
    return [decode(loads(fields[b"d"])) for _, fields in rows]


class StreamReader:
    """Every subscription of one process, over one pub/sub connection."""

    def __init__(self, redis: Redis) -> None:
        self._redis = redis
        self._pubsub: Any = redis.pubsub(ignore_subscribe_messages=True)
        self._subscriptions: dict[str, set[Subscription]] = {}
        self._changed = asyncio.Event()
        #: orders to the connection are given one by one: two that find none would open one each, and one be unread
        self._ordering = asyncio.Lock()

    @contextlib.asynccontextmanager
    async def subscribe(self, job_id: UUID, ask_owner: AskOwner, *, mark: bool = True) -> AsyncIterator[Subscription]:
        """Listen to a job. While Redis is away the subscriber still hears the end, from Postgres.

        Without `mark` nobody else can know of it: only for a call whose own client waits, which is known to be read.
        """
        name = channel(job_id)
        subscription = Subscription(self._redis, job_id, ask_owner)
        listeners = self._subscriptions.setdefault(name, set())
        listeners.add(subscription)
        try:
            try:
                if len(listeners) == 1:
                    async with self._ordering:
                        await self._pubsub.subscribe(name)
                if mark:
                    await self._redis.set(wanted_key(job_id), b"1", ex=_WANTED_SECONDS)
            except (RedisError, OSError):
                _log.warning("streams: Redis is away, waiting on Postgres", job=job_id.hex)
            self._changed.set()
            yield subscription
        finally:
            listeners.discard(subscription)
            if not listeners and self._subscriptions.get(name) is listeners:
                del self._subscriptions[name]
                with contextlib.suppress(RedisError, OSError):
                    async with self._ordering:
                        await self._pubsub.unsubscribe(name)

    async def run(self) -> None:
        """Hand published entries to their subscribers, until cancelled."""
        while True:
            if not self._subscriptions:
                self._changed.clear()
                await self._changed.wait()
            if not self._pubsub.subscribed and not await self._resubscribe(lost=False):
                await asyncio.sleep(0.5)
                continue
            try:
                message = await self._pubsub.get_message(timeout=5.0)
                if message is not None:
                    self._hand_out(message["channel"].decode(), message["data"])
            except (RedisError, OSError) as error:
                _log.warning("streams: lost the connection to Redis", error=type(error).__name__)
                await asyncio.sleep(0.5)
                await self._resubscribe(lost=True)

    async def close(self) -> None:
        """Close the pub/sub connection."""
        await self._pubsub.aclose()

    def _hand_out(self, name: str, data: bytes) -> None:
        item = read_publication(data)
        for subscription in self._subscriptions.get(name, ()):
            subscription.put(item)

    async def _resubscribe(self, *, lost: bool) -> bool:
        """Listen anew where nobody listens: the connection is `lost`, or the first order on it failed.

        Returns:
            Whether the connection can be read now; reading one without an order is an error that ends the reader.
        """
        async with self._ordering:
            if lost or not self._pubsub.subscribed:
                with contextlib.suppress(RedisError, OSError):
                    await self._pubsub.aclose()
                self._pubsub = self._redis.pubsub(ignore_subscribe_messages=True)
                if self._subscriptions:
                    with contextlib.suppress(RedisError, OSError):
                        await self._pubsub.subscribe(*self._subscriptions)
            return bool(self._pubsub.subscribed)
