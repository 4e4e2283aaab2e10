"""Jobs that go back to the backlog: those of some milliseconds become one statement."""

import asyncio
from uuid import UUID

import structlog

from penstock.errors import Unavailable
from penstock.store import jobs
from penstock.store.database import Database
from workers.lingering import Lingering

_RETRY_SECONDS = 0.5

_log = structlog.get_logger()


class Returns(Lingering):
    """Collects the jobs of one worker that it gives up for now."""

    def __init__(self, database: Database, worker_id: UUID) -> None:
        super().__init__()
        self._database = database
        self._worker_id = worker_id
        self._waiting: dict[UUID, tuple[int, int]] = {}

    def add(self, job_id: UUID, epoch: int, failures: int) -> None:
        """Give a running job back, with its failed attempts that count; committed within some milliseconds."""
        self._waiting[job_id] = (epoch, failures)
        self._wake.set()

    async def flush(self) -> None:
        """Commit what is waiting now."""
        self._wake.clear()
        while self._waiting:
            group, self._waiting = self._waiting, {}
            try:
                await jobs.give_up(self._database, self._worker_id, group)
            except Unavailable as error:
                _log.warning("returns: the database is away, trying again", error=str(error)[:200], jobs=len(group))
                self._waiting = group | self._waiting
                await asyncio.sleep(_RETRY_SECONDS)
