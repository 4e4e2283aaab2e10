"""The engine of one worker process: the event loop on which all its claimed jobs live.

Celery's threads only bring slices here; they wait until the worker has permits for a slice, it is claimed, and they
are free again. So no thread is held by a slice's slowest call, and an idle worker takes the next slice.
"""

import asyncio
import os
import socket
import time
from collections.abc import Sequence
from uuid import UUID

import structlog

from penstock.completion.encoding import loads
from penstock.errors import Unavailable
from penstock.execution.call import CallRecord, Deferred
from penstock.execution.pipeline import Pipeline, cancelled
from penstock.redis import Redis, RedisError
from penstock.rules.lifecycle import JobState
from penstock.store import jobs as job_store
from penstock.store import workers as worker_store
from penstock.store.database import Database
from penstock.store.jobs import ClaimedJob
from penstock.streams.entries import Ended, Started, control_channel, wanted_key
from penstock.streams.writer import StreamWriter, TokenStream
from workers.commit import GroupCommit
from workers.permits import Permits

BEAT_SECONDS = 2.0

_log = structlog.get_logger()


class _Running:
    """A claimed job and the task that works on it; `end` is set when it is to be stopped."""

    __slots__ = ("end", "job", "record", "stream", "task")

    def __init__(self, job: ClaimedJob, stream: TokenStream | None) -> None:
        self.job = job
        self.record = CallRecord(job.id, job.epoch)
        self.stream = stream
        self.end: JobState | None = None
        self.task: asyncio.Task[None]


class WorkerRuntime:
    """Claims slices and runs their jobs; everything here happens on one event loop."""

    def __init__(
        self,
        *,
        lane: str,
        database: Database,
        redis: Redis,
        pipeline: Pipeline,
        commit: GroupCommit,
        writer: StreamWriter,
        permits: int,
        worker_id: UUID,
    ) -> None:
        self.lane = lane
        self.worker_id = worker_id
        self._database = database
        self._redis = redis
        self._pipeline = pipeline
        self._commit = commit
        self._writer = writer
        self._permits = Permits(permits)
        self._running: dict[UUID, _Running] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self._draining = False

    async def accept(self, deployment: str, lane: str, ids: Sequence[UUID]) -> None:
        """Take on a slice: wait for permits, claim, start the jobs, return."""
        if not await self._permits.take(len(ids)) or self._draining:
            await job_store.hand_back(self._database, None, ids)
            return
        claimed: list[ClaimedJob] = []
        try:
            claimed = await job_store.claim(self._database, self.worker_id, deployment, lane, ids)
            wanted = await self._wanted(claimed)
        finally:
            self._permits.give(len(ids) - len(claimed))
        for job in claimed:
            stream = self._writer.open(job.id, job.epoch) if job.id in wanted else None
            running = _Running(job, stream)
            self._running[job.id] = running
            running.task = asyncio.create_task(self._run(running))
            self._tasks.add(running.task)
            running.task.add_done_callback(self._tasks.discard)

    async def _wanted(self, claimed: Sequence[ClaimedJob]) -> set[UUID]:
        """The jobs whose answer is to be streamed: everything but bulk lines that nobody reads."""
        streamed = {job.id for job in claimed if job.batch_id is None}
        lines = [job.id for job in claimed if job.batch_id is not None]
        if lines:
            try:
                marks = await self._redis.mget([wanted_key(job_id) for job_id in lines])
                streamed |= {job_id for job_id, mark in zip(lines, marks, strict=True) if mark}
            except (RedisError, OSError) as error:
                _log.warning("Redis is away: lines are not streamed", error=type(error).__name__)
        return streamed

    async def _run(self, running: _Running) -> None:
        job, stream = running.job, running.stream
        try:
            if stream:
                stream.append(Started())
            finished = await self._pipeline.run(job, running.record, stream.append if stream else None)
        except Deferred:
            await self._give_up(running)
            return
        except asyncio.CancelledError:
            if running.end is None:
                await self._give_up(running)
                return
            finished = cancelled(job, running.record, running.end)
        finally:
            del self._running[job.id]
            self._permits.give(1)
        if await self._commit.add(finished) and stream:
            stream.append(Ended(finished.state))

    async def _give_up(self, running: _Running) -> None:
        self._commit.add_attempts(running.record.attempts)
        await job_store.hand_back(self._database, self.worker_id, [running.job.id])

    def stop_job(self, job_id: UUID, end: JobState) -> None:
        """Close a running call; the job ends as `end`."""
        running = self._running.get(job_id)
        if running is not None and running.end is None:
            running.end = end
            running.task.cancel()

    def stop_batch(self, batch_id: UUID, end: JobState) -> None:
        """Close every running call of a batch."""
        for running in list(self._running.values()):
            if running.job.batch_id == batch_id:
                self.stop_job(running.job.id, end)

    async def listen(self) -> None:
        """Hear what is to be stopped, until cancelled."""
        while True:
            try:
                async with self._redis.pubsub(ignore_subscribe_messages=True) as pubsub:
                    await pubsub.subscribe(control_channel())
                    while True:
                        message = await pubsub.get_message(timeout=5.0)
                        if message:
                            self._obey(loads(message["data"]))
            except (RedisError, OSError) as error:
                _log.warning("control: Redis is away", error=type(error).__name__)
                await asyncio.sleep(1.0)

    def _obey(self, order: list[str]) -> None:
        verb, object_id, end = order
        stop = self.stop_batch if verb == "batch" else self.stop_job
        stop(UUID(hex=object_id), "expired" if end == "expired" else "cancelled")

    async def beat(self, database: Database) -> None:
        """Heartbeats, on a connection of their own, until cancelled."""
        await worker_store.register(database, self.worker_id, self.lane, socket.gethostname(), os.getpid())
        while True:
            await asyncio.sleep(BEAT_SECONDS)
            try:
                if not await worker_store.beat(database, self.worker_id):
                    _log.error("this worker was declared dead; it ends")
                    os.kill(os.getpid(), 15)
                    return
            except Unavailable as error:
                _log.warning("heartbeat failed", error=type(error).__name__)

    def start_draining(self) -> None:
        """No new claims from now on; slices that wait for permits are handed back."""
        self._draining = True
        self._permits.close()

    async def drain(self, limit: float) -> None:
        """Let running calls finish for up to `limit` seconds, hand the rest back, flush."""
        deadline = time.monotonic() + limit
        while self._running and time.monotonic() < deadline:
            await asyncio.sleep(0.05)
        for running in list(self._running.values()):
            running.task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await self._commit.flush()
        await self._writer.flush()
        await worker_store.stop(self._database, self.worker_id)
