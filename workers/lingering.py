"""Writes of many jobs that come at about the same time become one statement."""

import asyncio
from abc import ABC, abstractmethod

_LINGER_SECONDS = 0.01


class Lingering(ABC):
    """Commits what was collected some milliseconds after the first of it came."""

    def __init__(self) -> None:
        self._wake = asyncio.Event()

    async def run(self) -> None:
        """Commit until cancelled."""
        while True:
            await self._wake.wait()
            await asyncio.sleep(_LINGER_SECONDS)
            await self.flush()

    @abstractmethod
    async def flush(self) -> None:
        """Commit what is waiting now."""
