"""Permits: how many jobs one worker runs at once. A slice waits until there are enough for all of it."""

import asyncio
from collections import deque


class Permits:
    """A counter of free places, handed out in the order of asking."""

    def __init__(self, places: int) -> None:
        self._places = places
        self._free = places
        self._waiting: deque[tuple[int, asyncio.Future[bool]]] = deque()
        self._closed = False

    async def take(self, count: int) -> bool:
        """Wait for `count` places (a slice larger than the worker waits for all of them). False: closed meanwhile."""
        count = min(count, self._places)
        if self._closed:
            return False
        if not self._waiting and self._free >= count:
            self._free -= count
            return True
        turn: asyncio.Future[bool] = asyncio.get_running_loop().create_future()
        self._waiting.append((count, turn))
        return await turn

    def give(self, count: int) -> None:
        """Free `count` places."""
        self._free = min(self._places, self._free + count)
        while self._waiting and self._free >= self._waiting[0][0]:
            wanted, turn = self._waiting.popleft()
            if not turn.done():
                self._free -= wanted
                turn.set_result(True)

    def close(self) -> None:
        """Nobody gets a place any more; those who wait are told."""
        self._closed = True
        while self._waiting:
            _, turn = self._waiting.popleft()
            if not turn.done():
                turn.set_result(False)
