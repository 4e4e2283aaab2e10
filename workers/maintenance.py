"""What keeps the promises when something was lost: sweeps, each harmless to run at any time."""

import asyncio
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from uuid import UUID

import structlog

from penstock.broker import Doorbell, queue_name
from penstock.configuration import Config
from penstock.errors import Unavailable
from penstock.providers.deployments import Deployments
from penstock.redis import Redis
from penstock.store import (
    backlog,
    batches,
    cache_marks,
    flows,
    idempotency,
    jobs,
    open_lines,
    retention,
    route_counts,
    semantic_answers,
    shadows,
    steps,
    stops,
    uploads,
    webhook_log,
    workers,
)
from penstock.store.batches import Batch
from penstock.store.database import Database
from penstock.submission.doorbells import order_stop
from penstock.submission.finalize import finalize_batch
from workers.lost_streams import end_read_streams
from workers.shadows import compare

#: a worker is dead when this process saw the same heartbeat for so long, on several looks that succeeded
DEAD_SECONDS = 10.0
#: a job with a client waiting is claimed at once, or its doorbell was in the hands of a worker that died
LOST_RING_SECONDS = {"bulk": 10.0, "interactive": 3.0}
_PAGE = 1000
#: for which an answer can outlive its time to live: that of its call, and a minute in a process
_SPARE_SECONDS = 24 * 3600.0
#: rows removed by one statement, and chunks of files, which are megabytes
_PRUNE, _PRUNE_CHUNKS = 500, 50

_log = structlog.get_logger()


@dataclass(slots=True)
class _Pulse:
    beat: int
    since: float
    looks: int = 0


@dataclass(slots=True)
class Maintenance:
    """The sweeps of the leading dispatcher."""

    database: Database
    redis: Redis
    doorbell: Doorbell
    deployments: Deployments
    config: Config
    _pulses: dict[UUID, _Pulse] = field(default_factory=dict)

    async def tend_batches(self) -> None:
        """Have files read, batches flagged whose window closed, finished ones finalised."""
        for batch_id in await stops.flag_expired_batches(self.database):
            _log.info("a batch's completion window closed", batch=batch_id.hex)
        for batch in await batches.open_batches(self.database):
            await self._tend(batch)

    async def _tend(self, batch: Batch) -> None:
        if not batch.checked or batch.ingested_to < batch.total:
            await self.doorbell.ring_ingest(batch.id)
        if batch.checked:
            await finalize_batch(self.database, batch.id)

    async def end_batches(self) -> None:
        """End the lines of flagged batches, a page of each in turn: a million lines do not hold up another's ten."""
        walked: dict[UUID, int | None] = {}
        while True:
            ending = [batch for batch in await batches.open_batches(self.database) if batch.ending and batch.checked]
            ending = [batch for batch in ending if walked.get(batch.id, 0) is not None]
            if not ending:
                return
            for batch in ending:
                assert batch.ending is not None
                if batch.id not in walked:
                    await order_stop(self.redis, "batch", batch.id, batch.ending)
                after = walked.get(batch.id) or 0
                _, walked[batch.id] = await open_lines.end_page(self.database, batch.id, batch.ending, after, _PAGE)

    async def stop_jobs(self) -> None:
        """End single jobs that were asked to stop, or whose window closed; their workers are told again."""
        await stops.flag_expired_jobs(self.database, _PAGE)
        for stop in await stops.running(self.database, _PAGE):
            await order_stop(self.redis, "job", stop.job_id, stop.end)
        while await stops.end_flagged(self.database, _PAGE) == _PAGE:
            await asyncio.sleep(0)

    async def purge_batches(self) -> None:
        """Remove the lines of batches that were deleted, or whose result files are gone."""
        await _all_of("lines", lambda: retention.purge_lines(self.database, _PRUNE))

    async def prune_files(self) -> None:
        """Remove what was deleted or has expired, and then the results of old batches."""
        await _all_of("parts", lambda: uploads.prune(self.database, _PRUNE_CHUNKS))
        await _all_of("files", lambda: retention.prune_files(self.database, _PRUNE_CHUNKS))
        age = self.config.retention.payloads
        await _all_of("batches", lambda: retention.free_batches(self.database, age, _PRUNE))

    async def prune_jobs(self) -> None:
        """Remove the payloads of single jobs when they are old, and what is kept of any when it is older."""
        ages, database = self.config.retention, self.database
        await _all_of("deleted jobs", lambda: retention.prune_deleted_jobs(database, _PRUNE))
        await _all_of("payloads", lambda: retention.prune_jobs(database, ages.payloads, _PRUNE))
        await _all_of("jobs", lambda: retention.forget_jobs(database, ages.records, _PRUNE))
        await _all_of("attempts", lambda: retention.forget_attempts(database, ages.records, _PRUNE))

    async def prune_routes(self) -> None:
        """Remove early answers that nobody needs any more; what was counted of routes, and shadow samples, when old."""
        age = self.config.retention.records
        await _all_of("early answers", lambda: steps.forget_early(self.database, _PRUNE))
        await _all_of("counts of routes", lambda: route_counts.forget(self.database, age, _PRUNE))
        await _all_of("shadow samples", lambda: shadows.forget(self.database, age, _PRUNE))

    async def compare_shadows(self) -> None:
        """Compare what cheap models were trusted with and the strong model's answers."""
        await compare(self.database)

    async def prune_cache(self) -> None:
        """Remove what the semantic cache keeps too long or too much of, and marks that no answer is older than."""
        cache, database = self.config.cache, self.database
        semantic = cache.semantic
        if await semantic_answers.available(database):
            await _all_of("semantic answers", lambda: semantic_answers.prune(database, semantic.max_answers))
            await _all_of(
                "notes of semantic shadows",
                lambda: semantic_answers.prune_shadows(
                    database, older_than=semantic.shadow_seconds, most=semantic.max_shadows
                ),
            )
        longest = max(cache.ttl, semantic.ttl_seconds) + _SPARE_SECONDS
        await _all_of("marks of the cache", lambda: cache_marks.prune(database, longest))

    async def find_lost_rings(self) -> None:
        """Put jobs back whose doorbell nobody answered.

        Only where the queue is empty, or serves what came into it later: otherwise rings would multiply.
        """
        for deployment in self.deployments:
            for lane, seconds in LOST_RING_SECONDS.items():
                lost = await backlog.lost_rings(self.database, deployment.name, lane, seconds, _PAGE)
                if lost and await self.doorbell.depth(queue_name(lane, deployment.provider)):
                    lost = await backlog.overtaken(self.database, deployment.name, lane, seconds, lost)
                if lost:
                    _log.warning("doorbells were lost, ringing again", deployment=deployment.name, jobs=len(lost))
                    await jobs.hand_back(self.database, None, lost)

    async def find_dead_workers(self) -> None:
        """Declare workers dead whose heart stands still, and put what they ran back into the backlog."""
        now = time.monotonic()
        living = await workers.living(self.database)
        pulses: dict[UUID, _Pulse] = {}
        for worker in living:
            pulse = self._pulses.get(worker.id)
            if pulse is None or pulse.beat != worker.beat:
                pulse = _Pulse(worker.beat, now)
            pulse.looks += 1
            pulses[worker.id] = pulse
            if now - pulse.since > DEAD_SECONDS and pulse.looks >= 4:
                _log.warning("a worker is dead", worker=worker.id.hex, pid=worker.pid)
                await workers.stop(self.database, worker.id)
        self._pulses = pulses
        dead = await workers.stopped_with_work(self.database, 100)
        if dead:
            for worker_id in dead:
                lost = await end_read_streams(self.database, self.redis, worker_id, _PAGE)
                if lost:
                    _log.warning("responses that were read in part ended with their worker", jobs=lost)
            recovered = await backlog.recover(self.database, dead, _PAGE, self.config.worker.max_recoveries)
            ended = await backlog.end_stuck(self.database, dead, self.config.worker.max_recoveries, _PAGE)
            _log.warning("jobs of dead workers", recovered=recovered, ended=ended)

    async def wake_flows(self) -> None:
        """Find flows that have pending jobs and are thought to have none."""
        found = await flows.repair(self.database)
        if found:
            _log.warning("flows had been left asleep", flows=found)

    async def prune_webhooks(self) -> None:
        """Remove events that are old and have come to an end, with the log of their deliveries."""
        age, removed = self.config.webhooks.retention, 0
        while (pruned := await webhook_log.prune(self.database, older_than_seconds=age, limit=_PAGE)) > 0:
            removed += pruned
            await asyncio.sleep(0)
        if removed:
            _log.info("old webhook events were removed", events=removed)

    async def forget_idempotency_keys(self) -> None:
        """Remove what is remembered of requests long ago, some at a time."""
        while await idempotency.prune(self.database):
            await asyncio.sleep(0)


async def _all_of(what: str, remove: Callable[[], Awaitable[int]]) -> None:
    """Call until nothing is left, resting as long as each call took: half of the server is for others at any time."""
    removed, began = 0, time.monotonic()
    while count := await remove():
        removed += count
        await asyncio.sleep(time.monotonic() - began)
        began = time.monotonic()
    if removed:
        _log.info("removed by age or order", what=what, rows=removed)


async def every(seconds: float, leading: asyncio.Event, sweep: Callable[[], Awaitable[None]]) -> None:
    """Run a sweep again and again while leading, until cancelled. A server that is away only delays it."""
    while True:
        await leading.wait()
        try:
            await sweep()
        except Unavailable as error:
            _log.warning("a sweep was put off", sweep=sweep.__qualname__, error=type(error).__name__)
        except Exception:  # noqa: BLE001 — one sweep's fault must not end the others
            _log.exception("a sweep failed", sweep=sweep.__qualname__)
        await asyncio.sleep(seconds)
