"""Early answers of models that are asked at once: those of some milliseconds become one statement.

A worker that is killed before they are written leaves calls that are made again; nobody waits for them meanwhile.
"""

import asyncio
from collections.abc import Sequence
from dataclasses import replace
from uuid import UUID

import structlog

from penstock.completion.step import RouteStep
from penstock.errors import Unavailable
from penstock.store import finish, steps
from penstock.store.database import Database
from penstock.store.finish import Attempt
from penstock.store.jobs import ClaimedJob
from workers.lingering import Lingering

_RETRY_SECONDS = 0.5
#: calls are numbered within a claim; these are written before the others, and stay out of their way
_NUMBERS_APART = 1000

_log = structlog.get_logger()


class EarlyAnswers(Lingering):
    """Collects the early answers of one worker."""

    def __init__(self, database: Database, worker_id: UUID) -> None:
        super().__init__()
        self._database = database
        self._worker_id = worker_id
        self._waiting: list[tuple[UUID, int, RouteStep]] = []
        self._attempts: list[Attempt] = []

    def keep(self, job: ClaimedJob, place: int, step: RouteStep, attempts: Sequence[Attempt]) -> None:
        """See `Early`; committed within some milliseconds."""
        first = _NUMBERS_APART * (place + 1)
        self._attempts += [replace(attempt, step=first + number) for number, attempt in enumerate(attempts)]
        self._waiting.append((job.id, place, step))
        self._wake.set()

    async def of(self, job: ClaimedJob) -> list[RouteStep]:
        """See `Early`."""
        return await steps.early(self._database, job.id)

    async def flush(self) -> None:
        """Commit what is waiting now: first the calls, which were paid for also where an answer is made again."""
        self._wake.clear()
        while self._waiting:
            group, self._waiting = self._waiting, []
            attempts, self._attempts = self._attempts, []
            try:
                await finish.finish(self._database, self._worker_id, [], attempts)
                await steps.keep_early(self._database, group)
            except Unavailable as error:
                _log.warning("early answers: the database is away, trying again", error=str(error)[:200])
                self._waiting, self._attempts = group + self._waiting, attempts + self._attempts
                await asyncio.sleep(_RETRY_SECONDS)
