"""Of identical requests under way, in this process or another, one makes the call and the others get its answer.

Who makes it holds a lead in Redis that is renewed while it works: where its process dies the lead runs out, and one of
those who wait takes it. Within a process one waits in Redis for all. Without Redis a process coalesces its own.

Nobody waits for nothing: when the one that led came to no answer that is kept (it failed, or the answer is too
large), those who wait go alone, all at once.
"""

import asyncio
import time
from collections.abc import Coroutine
from dataclasses import dataclass
from itertools import count
from typing import Any, Literal
from uuid import uuid4

import structlog

from penstock.cache.exact import Entry, Memory, Shared

LEAD_MS = 10_000
_RENEW_SECONDS = 3.0
#: for so long others in the fleet are told that there will be no answer to wait for
_ALONE_MS = 2_000
_FIRST_LOOK, _LONGEST_LOOK = 0.02, 0.25
_log = structlog.get_logger()

Source = Literal["memory", "redis", "coalesced"]


@dataclass(frozen=True, slots=True)
class Turn:
    """The caller makes the answer itself; it ends its turn with `Flights.leave`. Without a lead nobody waits for it."""

    key: str
    lead: bool
    token: str = ""


@dataclass(frozen=True, slots=True)
class Found:
    """An answer that was there, or that another made meanwhile."""

    entry: Entry
    source: Source


class Flights:
    """The answers being made, as far as this process waits for them or makes them. Belongs to one event loop."""

    def __init__(self, memory: Memory, shared: Shared, largest: int) -> None:
        """`largest` is the size in bytes up to which an entry is kept."""
        self._memory = memory
        self._shared = shared
        self._largest = largest
        #: who of this process asks Redis, and how that ended: True: look again, False: go alone
        self._local: dict[str, asyncio.Future[bool]] = {}
        #: the leads held here, by key, and the timer that renews all of them
        self._leads: dict[str, str] = {}
        self._timer: asyncio.TimerHandle | None = None
        self._tokens = (f"{uuid4().hex}-{number}" for number in count())
        self._work: set[asyncio.Task[None]] = set()

    async def enter(self, key: str, max_age: float | None) -> Found | Turn:
        """The answer, as soon as somebody has it, or the caller's turn to make it. Not older than `max_age` seconds."""
        since = time.time() - max_age if max_age is not None else 0.0
        waited = False
        while True:
            data = self._memory.get(key, since)
            if data is not None:
                return Found(Entry.from_bytes(data), "coalesced" if waited else "memory")
            other = self._local.get(key)
            if other is None:
                self._local[key] = asyncio.get_running_loop().create_future()
                try:
                    return await self._lead(key, since, waited=waited)
                except BaseException:
                    self._tell(key, again=True)
                    raise
            waited = True
            if not await asyncio.shield(other):
                return Turn(key, lead=False)

    def leave(self, turn: Turn, entry: Entry | None, *, passing: bool) -> "asyncio.Task[None]":
        """The end of a turn: with its entry, or without one. `passing`: another may still come to an answer.

        The task ends when the fleet knows. Until then nobody else has the answer, here neither: what was given to
        others must not be lost with this process, or it is bought again and answered differently.
        """
        data = entry.to_bytes() if entry is not None else b""
        if len(data) > self._largest:
            data = b""
        self._leads.pop(turn.token, None)
        sent: asyncio.Future[int | None] | None = None
        if turn.token or data:
            # now, and not in the task: on a busy loop each turn is one in which the answer could be lost
            sent = self._shared.leave(turn.key, turn.token, data, 0 if passing or data else _ALONE_MS)
        return self._behind(self._leave(turn, data, sent, passing=passing))

    async def close(self) -> None:
        """Finish what is under way, and renew no lead any more."""
        if self._timer is not None:
            self._timer.cancel()
        while self._work:
            await asyncio.wait(self._work)

    async def _leave(
        self, turn: Turn, data: bytes, sent: "asyncio.Future[int | None] | None", *, passing: bool
    ) -> None:
        kept = False
        try:
            stored = await sent if sent is not None else None
            if data:
                kept = self._memory.put(turn.key, data) or stored is not None
        finally:
            if turn.lead:
                self._tell(turn.key, again=kept or passing)

    async def _lead(self, key: str, since: float, *, waited: bool) -> Found | Turn:
        """This process's word with the others: one of it comes here at a time."""
        token, pause = next(self._tokens), _FIRST_LOOK
        while True:
            answer = await self._ask_for(key, token, since)
            if isinstance(answer, bytes):
                self._memory.put(key, answer)
                self._tell(key, again=True)
                return Found(Entry.from_bytes(answer), "coalesced" if waited else "redis")
            if answer == 1:
                self._leads[token] = key
                if self._timer is None:
                    self._renew_later()
                return Turn(key, lead=True, token=token)
            if answer is None:
                return Turn(key, lead=True)
            if answer == -1:
                self._tell(key, again=False)
                return Turn(key, lead=False)
            waited = True
            await asyncio.sleep(pause)
            pause = min(pause * 1.5, _LONGEST_LOOK)

    async def _ask_for(self, key: str, token: str, since: float) -> bytes | int | None:
        try:
            return await self._shared.enter(key, token, LEAD_MS, since)
        except asyncio.CancelledError:  # the lead may have been given all the same: nobody would work under it
            self._shared.leave(key, token, b"", 0)
            raise

    def _renew_later(self) -> None:
        self._timer = asyncio.get_running_loop().call_later(_RENEW_SECONDS, self._renew)

    def _renew(self) -> None:
        """One timer for all leads, and none while there are none."""
        self._timer = None
        if self._leads:
            self._renew_later()
            for token, key in self._leads.items():
                self._shared.keep(key, token, LEAD_MS)

    def _behind(self, work: Coroutine[Any, Any, None]) -> "asyncio.Task[None]":
        task = asyncio.get_running_loop().create_task(work)
        self._work.add(task)
        task.add_done_callback(self._ended)
        return task

    def _ended(self, task: "asyncio.Task[None]") -> None:
        self._work.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            _log.error("an answer was not kept", exc_info=error)

    def _tell(self, key: str, *, again: bool) -> None:
        future = self._local.pop(key, None)
        if future is not None and not future.done():
            future.set_result(again)
