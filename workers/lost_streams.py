"""Answers that lost their worker half-way, after a part of them had been read.

A vendor's dialect cannot take back what it told, so such a response ends as failed, with what was told of it
(docs/job-lifecycle.md). What nobody has read begins anew like any other job, and so does a job of Penstock's own
dialect, which has a reset event.
"""

from uuid import UUID

import structlog

from penstock.completion.events import PartDelta, PartStarted
from penstock.errors import StreamLost
from penstock.execution.pipeline import failed
from penstock.execution.record import CallRecord
from penstock.redis import Redis, RedisError
from penstock.store import backlog
from penstock.store.database import Database
from penstock.store.finish import finish
from penstock.streams.reader import published, was_read

_log = structlog.get_logger()


async def end_read_streams(database: Database, redis: Redis, worker_id: UUID, limit: int) -> int:
    """End the background responses of a dead worker that were read in part; returns how many.

    Fenced like every other end: if the worker was only slow, whoever is first has ended the job. Without Redis nobody
    knows what was read, and all begin anew: a reader is then told that its stream cannot go on.

    Raises:
        Unavailable: the database cannot be reached.
    """
    ended = 0
    for job in await backlog.streamed_by(database, worker_id, limit):
        try:
            if not await was_read(redis, job.id):
                continue
            entries = await published(redis, job.id, job.epoch, worker_id)
        except (RedisError, OSError) as error:
            _log.warning("Redis is away: streams of a dead worker begin anew", error=type(error).__name__)
            return ended
        record = CallRecord(job.id, job.epoch, job.failures)
        for event in entries:
            if isinstance(event, PartStarted | PartDelta):
                record.builder.add(event)
                record.emitted = True
        if record.emitted:
            end = failed(job, record, StreamLost())
            ended += len((await finish(database, worker_id, [end])).ended)
    return ended
