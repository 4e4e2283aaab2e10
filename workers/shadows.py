"""Shadow samples: the strong model is asked in the background what a cheap one was trusted with, and both compared."""

import structlog

from penstock.completion.encoding import dumps, loads
from penstock.completion.outcome import Outcome
from penstock.errors import Unavailable
from penstock.execution.shadow import Sample
from penstock.ids import new_id
from penstock.redis import Redis
from penstock.routing.equivalence import RULES, equivalent
from penstock.store import flows, jobs, shadows
from penstock.store.database import Database
from penstock.store.jobs import ClaimedJob, NewJob
from penstock.store.shadows import Answered, Shadow
from penstock.submission.doorbells import wake_dispatcher
from penstock.submission.flow_ids import FlowIds

#: the last of its tenant's own work
PRIORITY = 100
_PAGE = 200
#: of the body, what belongs to the job that it was of
_NOT_COPIED = ("fallback", "callback_url", "stream", "stream_options", "background", "priority", "completion_window")

_log = structlog.get_logger()


class Shadows:
    """Makes the jobs of samples, for one worker."""

    def __init__(self, database: Database, redis: Redis) -> None:
        self._database = database
        self._redis = redis
        self._flow_ids = FlowIds(database)

    async def ask(self, job: ClaimedJob, sample: Sample) -> None:
        """Add the job of a sample to the backlog, as its tenant's. It is only a sample: one that cannot be is left."""
        try:
            await self._ask(job, sample)
        except Unavailable as error:
            _log.warning("a shadow sample is left out: the database is away", error=error.message)

    async def _ask(self, job: ClaimedJob, sample: Sample) -> None:
        body = {name: value for name, value in loads(job.body).items() if name not in _NOT_COPIED}
        asked = NewJob(
            id=new_id(),
            tenant_id=job.tenant_id,
            dialect=job.dialect,
            model=sample.strong,
            lane="bulk",
            flow_id=await self._flow_ids.of(sample.strong, "bulk", job.tenant_id),
            deployment=sample.strong,
            tokens=job.tokens,
            body=dumps({**body, "model": sample.strong}),
            priority=PRIORITY,
        )
        shadow = Shadow(asked.id, job.id, sample.route, sample.version, sample.rule, sample.answer)
        async with self._database.transaction() as connection:
            if not await shadows.add(connection, shadow):
                return
            await jobs.insert(connection, asked)
            await flows.wake(connection, {asked.flow_id: (asked.priority, asked.id)})
        await wake_dispatcher(self._redis)


async def compare(database: Database) -> None:
    """Compare the samples whose jobs have ended.

    Raises:
        Unavailable: the database cannot be reached.
    """
    while found := await shadows.answered(database, _PAGE):
        await shadows.settle(database, [(one.job_id, _agrees(one), one.cost) for one in found])


def _agrees(one: Answered) -> bool | None:
    """None where the strong model gave no answer: that says nothing of the cheap one."""
    if not one.succeeded or one.result is None:
        return None
    result = Outcome.from_bytes(one.result).result
    return equivalent(RULES[one.rule], one.answer, result.text if result is not None else None)
