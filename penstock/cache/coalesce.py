"""Of identical requests under way, in this process or another, one makes the call and the others get its answer.

Who makes it holds a lead in Redis that is renewed while it works: where its process dies the lead runs out, and one of
those who wait takes it. Within a process one waits in Redis for all. Without Redis a process coalesces its own.

Nobody waits for nothing: when the one that led came to no answer that is kept (it failed, or the answer is too
large), those who wait go alone, all at once.
"""

import asyncio
import time
from dataclasses import dataclass
from typing import Literal
from uuid import uuid4

from penstock import tasks
from penstock.cache.exact import Entry, Memory, Shared

LEAD_MS = 10_000
_RENEW_SECONDS = 3.0
#: for so long others in the fleet are told that there will be no answer to wait for
_ALONE_MS = 2_000
_FIRST_LOOK, _LONGEST_LOOK = 0.02, 0.25

Source = Literal["memory", "redis", "coalesced"]


@dataclass(slots=True)
class Turn:
    """The caller makes the answer itself; it ends its turn with `Flights.leave`. Without a lead nobody waits for it."""

    key: str
    lead: bool
    token: str = ""
    renewing: "asyncio.Task[None] | None" = None


@dataclass(frozen=True, slots=True)
class Found:
    """An answer that was there, or that another made meanwhile."""

    entry: Entry
    source: Source


class Flights:
    """The answers being made, as far as this process waits for them or makes them."""

    def __init__(self, memory: Memory, shared: Shared) -> None:
        self._memory = memory
        self._shared = shared
        #: who of this process asks Redis, and how that ended: True: look again, False: go alone
        self._local: dict[str, asyncio.Future[bool]] = {}

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

    async def leave(self, turn: Turn, entry: bytes | None, *, passing: bool) -> None:
        """The end of a turn: with its entry, or without one. `passing`: another may still come to an answer."""
        kept = entry is not None and self._memory.put(turn.key, entry)
        try:
            if turn.renewing is not None:
                await tasks.end(turn.renewing)
            if turn.token or entry is not None:
                alone = 0 if passing or entry is not None else _ALONE_MS
                stored = await self._shared.leave(turn.key, turn.token, entry or b"", alone)
                kept = kept or (entry is not None and stored is not None)
        finally:
            if turn.lead:
                self._tell(turn.key, again=kept or passing)

    async def _lead(self, key: str, since: float, *, waited: bool) -> Found | Turn:
        """This process's word with the others: one of it comes here at a time."""
        token, pause = uuid4().hex, _FIRST_LOOK
        while True:
            answer = await self._shared.enter(key, token, LEAD_MS, since)
            if isinstance(answer, bytes):
                self._memory.put(key, answer)
                self._tell(key, again=True)
                return Found(Entry.from_bytes(answer), "coalesced" if waited else "redis")
            if answer in {1, None}:
                turn = Turn(key, lead=True, token=token if answer else "")
                if answer:
                    turn.renewing = asyncio.create_task(self._renew(key, token))
                return turn
            if answer == -1:
                self._tell(key, again=False)
                return Turn(key, lead=False)
            waited = True
            await asyncio.sleep(pause)
            pause = min(pause * 1.5, _LONGEST_LOOK)

    async def _renew(self, key: str, token: str) -> None:
        while True:
            await asyncio.sleep(_RENEW_SECONDS)
            await self._shared.keep(key, token, LEAD_MS)

    def _tell(self, key: str, *, again: bool) -> None:
        future = self._local.pop(key, None)
        if future is not None and not future.done():
            future.set_result(again)
