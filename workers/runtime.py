"""The engine of one worker process: the event loop on which all its claimed jobs live.

Celery's threads only bring slices here; they wait until the worker has permits for a slice, it is claimed, and they
are free again. So no thread is held by a slice's slowest call, and an idle worker takes the next slice.
"""

import asyncio
import os
import socket
import time
from collections.abc import Coroutine, Sequence
from dataclasses import dataclass
from typing import Any
from uuid import UUID

import structlog

from penstock.completion.events import PartDelta, PartStarted
from penstock.completion.step import RouteStep
from penstock.errors import StreamLost, Unavailable
from penstock.execution.call import Deferred, Emit, Interrupted
from penstock.execution.pipeline import Pipeline, cancelled, failed
from penstock.execution.record import CallRecord
from penstock.execution.work import Hop
from penstock.redis import Redis, RedisError
from penstock.rules.lifecycle import JobState
from penstock.store import jobs as job_store
from penstock.store import steps as step_store
from penstock.store import workers as worker_store
from penstock.store.database import Database
from penstock.store.finish import FinishedJob
from penstock.store.jobs import ClaimedJob
from penstock.streams.entries import Cached, Ended, Started, wanted_key
from penstock.streams.reader import was_read
from penstock.streams.writer import StreamWriter, TokenStream
from workers import predecessors
from workers.commit import GroupCommit
from workers.early_answers import EarlyAnswers
from workers.hops import Hops
from workers.permits import Permits
from workers.returns import Returns
from workers.shadows import Shadows

BEAT_SECONDS = 2.0
_RETRY_SECONDS = 0.5

_log = structlog.get_logger()


class _Running:
    """A claimed job and the task that works on it; `end` is set when the job is to end as that.

    It is closed while it is `calling`. After that its answer, or where it goes on, is being committed: whoever flagged
    the job finds it where it went.
    """

    __slots__ = ("calling", "end", "job", "record", "stopped", "stream", "task")

    def __init__(self, job: ClaimedJob, stream: TokenStream | None, earlier: Sequence[RouteStep]) -> None:
        self.job = job
        self.record = CallRecord(job.id, job.epoch, job.failures, earlier=earlier)
        self.stream = stream
        self.end: JobState | None = None
        self.calling = False
        self.stopped = False
        self.task: asyncio.Task[None]

    def stop(self) -> None:
        """Close its call. A task that is cancelled before its first step never runs, and would clear nothing away."""
        self.stopped = True
        if self.calling:
            self.task.cancel()


@dataclass(frozen=True, slots=True)
class Exits:
    """The ways in which a job leaves a worker: ended, back to the backlog, or on to another deployment.

    Before its end some of its answers may be kept already; after it a sample may be asked of another model.
    """

    commit: GroupCommit
    returns: Returns
    hops: Hops
    shadows: Shadows
    early: EarlyAnswers


class WorkerRuntime:
    """Claims slices and runs their jobs; everything here happens on one event loop."""

    def __init__(
        self,
        *,
        lane: str,
        database: Database,
        redis: Redis,
        pipeline: Pipeline,
        exits: Exits,
        writer: StreamWriter,
        permits: int,
        worker_id: UUID,
    ) -> None:
        self.lane = lane
        self.worker_id = worker_id
        self._database = database
        self._redis = redis
        self._pipeline = pipeline
        self._commit, self._returns, self._hops = exits.commit, exits.returns, exits.hops
        self._shadows, self._early = exits.shadows, exits.early
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
            earlier = await self._earlier(claimed)
        except Unavailable as error:
            _log.warning("a claim was not answered: its slice goes back", error=str(error)[:200], jobs=len(ids))
            self._track(self._disclaim([job_id for job_id in ids if job_id not in self._running]))
            return
        finally:
            self._permits.give(len(ids) - len(claimed))
        for job in claimed:
            stream = self._writer.open(job.id, job.epoch) if job.id in wanted else None
            running = _Running(job, stream, earlier.get(job.id, ()))
            self._running[job.id] = running
            running.task = self._track(self._run(running))

    def _track(self, work: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task

    async def _disclaim(self, ids: Sequence[UUID]) -> None:
        """Put jobs back that may be claimed or not: the answer was lost with its connection.

        Nobody else would: they would be this worker's, which lives, and on which nobody works.
        """
        while True:
            try:
                await job_store.hand_back(self._database, self.worker_id, ids)
                return
            except Unavailable:
                await asyncio.sleep(_RETRY_SECONDS)

    async def _earlier(self, claimed: Sequence[ClaimedJob]) -> dict[UUID, list[RouteStep]]:
        """What the routes of claimed jobs have answered before; while the database is away, ask again."""
        on_their_way = [job.id for job in claimed if job.route_step]
        while on_their_way:
            try:
                return await step_store.of_jobs(self._database, on_their_way)
            except Unavailable as error:
                _log.warning("steps: the database is away, trying again", error=str(error)[:200])
                await asyncio.sleep(0.5)
        return {}

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
        stream = running.stream
        try:
            finished = await self._work(running)
        finally:
            # a job that went on elsewhere may be back: claimed anew by this worker, before this task got its turn
            if self._running.get(running.job.id) is running:
                del self._running[running.job.id]
            self._permits.give(1)
        if finished is None or not await self._commit.add(finished):
            return
        if stream:
            stream.append(Ended(finished.state))
        if running.record.sample is not None:
            await self._shadows.ask(running.job, running.record.sample)

    async def _work(self, running: _Running) -> FinishedJob | None:
        """The end of a job; None when it goes on elsewhere or later."""
        job, record = running.job, running.record
        try:
            return await self._call(running)
        except Deferred:
            self._give_up(running)
        except Hop as hop:
            await self._hop(running, hop)
        except Interrupted as interrupted:
            if await self._was_read(job):
                return failed(job, record, interrupted.error)
            hop_or_error = self._pipeline.next_hop(job, interrupted.error) if interrupted.falls_back else None
            if isinstance(hop_or_error, Hop):
                await self._hop(running, hop_or_error)
            else:
                self._give_up(running)
        except asyncio.CancelledError:
            if running.end is not None:
                return cancelled(job, record, running.end)
            if record.emitted and await self._was_read(job):
                return failed(job, record, StreamLost())
            self._give_up(running)
        return None

    async def _call(self, running: _Running) -> FinishedJob:
        """Run the pipeline for a job, unless it was stopped before its task began."""
        if running.stopped:
            raise asyncio.CancelledError
        stream, running.calling = running.stream, True
        try:
            if stream:
                stream.append(Started())
            return await self._pipeline.run(
                running.job, running.record, _emit(stream, running.record) if stream else None
            )
        finally:
            running.calling = False

    def _give_up(self, running: _Running) -> None:
        """Back to the backlog: the next claim is a new epoch, and its stream begins anew."""
        self._commit.add_attempts(running.record.attempts)
        self._returns.add(running.job.id, running.job.epoch, running.record.failures)

    async def _hop(self, running: _Running, hop: Hop) -> None:
        self._commit.add_attempts(running.record.attempts)
        await self._hops.move(running.job, hop, self.worker_id)

    async def _was_read(self, job: ClaimedJob) -> bool:
        """Whether chunks that were published may have been seen by somebody who cannot be told to begin anew.

        A reader says that it is there before it reads. Penstock's own dialect has a reset event; a vendor's has not.
        """
        if job.lane == "interactive":
            return True
        if job.dialect == "job" or job.batch_id is not None:
            return False
        try:
            return await was_read(self._redis, job.id)
        except (RedisError, OSError) as error:
            _log.warning("Redis is away: a stream counts as read", error=type(error).__name__)
            return True

    def stop_job(self, job_id: UUID, end: JobState) -> None:
        """Close a running call; the job ends as `end`."""
        running = self._running.get(job_id)
        if running is not None and running.end is None:
            running.end = end
            running.stop()

    def stop_batch(self, batch_id: UUID, end: JobState) -> None:
        """Close every running call of a batch."""
        for running in list(self._running.values()):
            if running.job.batch_id == batch_id:
                self.stop_job(running.job.id, end)

    async def register(self, database: Database) -> None:
        """Make this worker known, before its first claim: jobs of one that is not known are taken for a dead one's.

        Workers before it whose processes are gone are declared dead on the way.
        """
        while True:
            try:
                space = predecessors.pid_space()
                host, pid = socket.gethostname(), os.getpid()
                await worker_store.register(database, self.worker_id, self.lane, host, pid, space)
                for worker in await worker_store.living(database):
                    if space is not None and worker.pid_space == space and predecessors.gone(worker):
                        _log.warning("a worker ended without a word", worker=worker.id.hex, pid=worker.pid)
                        await worker_store.stop(database, worker.id)
                return
            except Unavailable as error:
                _log.warning("the database is away: this worker waits for it", error=type(error).__name__)
                await asyncio.sleep(_RETRY_SECONDS)

    async def beat(self, database: Database) -> None:
        """Heartbeats, on a connection of their own, until cancelled."""
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
        if self._running:
            _log.warning("calls were running still and are handed back", jobs=len(self._running))
        for running in list(self._running.values()):
            running.stop()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await self._early.flush()
        await self._returns.flush()
        await self._commit.flush()
        await self._writer.flush()
        await worker_store.stop(self._database, self.worker_id)


def _emit(stream: TokenStream, record: CallRecord) -> Emit:
    """Adds chunks to a stream; what the cache came to goes before the first."""
    told = False

    def emit(event: PartStarted | PartDelta) -> None:
        nonlocal told
        if not told and record.cached is not None:
            stream.append(Cached(record.cached))
        told = True
        stream.append(event)

    return emit
