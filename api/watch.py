"""Watching a job from a connection: its entries as they come, with pauses told, so that a heartbeat can be sent."""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from types import TracebackType
from uuid import UUID

from fastapi import Request

from api.services import Services
from penstock import tasks
from penstock.completion.events import PartDelta, PartStarted
from penstock.errors import NotFound, Unavailable
from penstock.store import jobs
from penstock.store.jobs import JobRow
from penstock.streams.entries import Cached, Ended, Reset, Started
from penstock.streams.reader import Owner, Subscription
from penstock.submission.doorbells import order_stop

#: seconds of silence after which a client gets a comment line
HEARTBEAT_SECONDS = 10.0
_CANCEL_PATIENCE = 3.0
_LOOKS_PER_RING = 10


#: what a reader of an answer is told
Entry = Started | PartStarted | PartDelta | Ended | Reset


class Watch:
    """A subscription with a pump: `next` gives an entry, or None after some seconds of silence.

    `cached` is what the cache came to, known before the answer's first chunk; None where it was not asked.
    """

    def __init__(self, services: Services, job_id: UUID, *, foreground: bool = False) -> None:
        """`foreground`: the job's own client waits on this connection."""
        self._services = services
        self._foreground = foreground
        self.job_id = job_id
        self._stack = contextlib.AsyncExitStack()
        self.cached: str | None = None
        self._entries: asyncio.Queue[Entry | None] = asyncio.Queue()
        self._pump: asyncio.Task[None] | None = None
        self._subscription: Subscription

    async def __aenter__(self) -> "Watch":
        self._subscription = await self._stack.enter_async_context(
            self._services.reader.subscribe(self.job_id, self._owner, mark=not self._foreground)
        )
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._pump is not None:
            await tasks.end(self._pump)
        await self._stack.aclose()

    def begin(self) -> None:
        """Start to read; the job must be stored by now."""
        self._pump = asyncio.create_task(self._run())

    async def next(self, patience: float = HEARTBEAT_SECONDS) -> Entry | None:
        """The next entry, or None after `patience` seconds without one.

        Raises:
            StopAsyncIteration: the stream is over.
        """
        try:
            # not `wait_for`: see `Subscription._live`
            async with asyncio.timeout(patience):
                entry = await self._entries.get()
        except TimeoutError:
            return None
        if entry is None:
            raise StopAsyncIteration
        return entry

    async def entries(self) -> AsyncIterator[Entry | None]:
        """Entries to the end, with a None for every long silence."""
        while True:
            try:
                yield await self.next()
            except StopAsyncIteration:
                return

    async def _run(self) -> None:
        try:
            async for entry in self._subscription.entries():
                if isinstance(entry, Cached):
                    self.cached = entry.how
                else:
                    self._entries.put_nowait(entry)
        finally:
            self._entries.put_nowait(None)

    async def _owner(self) -> Owner | None:
        found = await jobs.state_of(self._services.database, self.job_id)
        return Owner(found[0], found[1], found[2]) if found else None


async def load(services: Services, tenant_id: str, job_id: UUID, dialects: tuple[str, ...], shown_id: str) -> JobRow:
    """A job of a tenant, as long as it came in by one of these dialects.

    Raises:
        NotFound: there is none.
    """
    row = await jobs.load(services.database, tenant_id, job_id)
    if row is None or row.dialect not in dialects:
        raise NotFound(f"No object found with id '{shown_id}'.")
    return row


async def cancel(services: Services, tenant_id: str, job_id: UUID) -> None:
    """End a job: at once when nobody runs it, else as soon as its worker has closed the call."""
    state = await jobs.request_cancel(services.database, tenant_id, job_id)
    if state != "running":
        return
    deadline = asyncio.get_running_loop().time() + _CANCEL_PATIENCE
    looks = 0
    while asyncio.get_running_loop().time() < deadline:
        if looks % _LOOKS_PER_RING == 0:
            # again and again: a worker that had just claimed the job did not know it yet
            await order_stop(services.redis, "job", job_id, "cancelled")
        looks += 1
        await asyncio.sleep(0.02)
        found = await jobs.state_of(services.database, job_id)
        if found is None or found[0] != "running":
            return
    await jobs.force_cancel(services.database, job_id)


async def disconnected(request: Request) -> None:
    """Returns when the client has hung up."""
    while True:
        message = await request.receive()
        if message["type"] == "http.disconnect":
            return


async def wait_for_end(services: Services, watch: Watch, request: Request, tenant_id: str) -> JobRow:
    """Wait until a foreground job ended. A client that hangs up cancels it.

    Raises:
        Unavailable: the client is gone, so nobody reads this.
    """
    waiting = asyncio.ensure_future(_ended(watch))
    gone = asyncio.ensure_future(disconnected(request))
    try:
        await asyncio.wait({waiting, gone}, return_when=asyncio.FIRST_COMPLETED)
        if not waiting.done():
            await cancel(services, tenant_id, watch.job_id)
            raise Unavailable("The client closed the connection.")
        await waiting
    finally:
        await tasks.end(waiting, gone)
    row = await jobs.load(services.database, tenant_id, watch.job_id)
    if row is None:
        raise NotFound("The job was deleted while it ran.")
    return row


async def _ended(watch: Watch) -> None:
    async for _ in watch.entries():
        pass
