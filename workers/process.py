"""One worker process: Celery's small thread pool in front, one event loop with all the I/O behind."""

import asyncio
import logging
import os
import threading
from collections.abc import Coroutine
from typing import Any
from uuid import UUID

import structlog
import uvloop
from celery import Celery
from celery.signals import worker_shutting_down

from penstock import broker, tasks
from penstock.cache.exact import CONNECTIONS, Shared
from penstock.cache.invalidation import Marks
from penstock.cache.prefix import Prefixes
from penstock.execution.cached import CachedCaller
from penstock.execution.call import Caller
from penstock.execution.continuing import ContinuingCaller
from penstock.execution.kept_prompts import PromptKeeper
from penstock.execution.pipeline import Pipeline
from penstock.execution.steps import Completes
from penstock.execution.tally import Tally
from penstock.guard.pipeline import Guard
from penstock.ids import new_id
from penstock.limits.buckets import DeploymentLimits
from penstock.limits.quota import Quota
from penstock.limits.truth import SpentBy
from penstock.providers.deployments import Deployments
from penstock.providers.registry import make_providers
from penstock.redis import connect
from penstock.routing.learnt import LearntPolicies
from penstock.routing.router import Router
from penstock.routing.speeds import Speeds
from penstock.routing.watch import RouteWatch
from penstock.rules.estimates import Calibration
from penstock.settings import Settings
from penstock.store.database import POOL_SIZE, Database
from penstock.streams.writer import StreamWriter
from penstock.submission.finalize import finalize_batch
from penstock.submission.ingest import Ingest
from workers import orders
from workers.commit import GroupCommit
from workers.early_answers import EarlyAnswers
from workers.hops import Hops
from workers.returns import Returns
from workers.runtime import Exits, WorkerRuntime
from workers.shadows import Shadows

#: threads that bring slices; each only waits and claims
THREADS = {"bulk": 2, "interactive": 8}
#: bulk jobs wait this long for company in a commit
LINGER_SECONDS = {"bulk": 0.02, "interactive": 0.0}
DRAIN_SECONDS = 20.0

_log = structlog.get_logger()


class WorkerProcess:
    """Everything one worker process owns, made and closed on its event loop."""

    def __init__(self, settings: Settings, lane: str) -> None:
        self.settings = settings
        self.lane = lane
        self.worker_id: UUID = new_id()
        self.loop = uvloop.new_event_loop()
        self.runtime: WorkerRuntime
        self.ingest: Ingest
        self._background: list[asyncio.Task[Any]] = []
        self._thread = threading.Thread(target=self._run_loop, name="event-loop", daemon=True)

    def start(self) -> None:
        """Start the event loop and open every connection."""
        self._thread.start()
        self.wait(self._open())

    def wait(self, work: Coroutine[Any, Any, Any]) -> Any:
        """Run something on the event loop, from another thread."""
        return asyncio.run_coroutine_threadsafe(work, self.loop).result()

    def stop(self) -> None:
        """Drain and close. The loop stops last: a thread that waits on a stopped loop hangs for ever."""
        self.wait(self._close())
        self.loop.call_soon_threadsafe(self.loop.stop)
        self._thread.join(timeout=5)

    def _run_loop(self) -> None:
        asyncio.set_event_loop(self.loop)
        self.loop.run_forever()

    async def _open(self) -> None:
        config = self.settings.config
        self._database = Database(self.settings.database_url, size=POOL_SIZE["worker"], name=f"worker-{self.lane}")
        self._heart = Database(self.settings.database_url, size=1, name="heartbeat")
        await self._database.open()
        await self._heart.open()
        self._redis = connect(self.settings.redis_url, size=50)
        deployments = Deployments(config)
        self._providers = make_providers(config)
        limits = {name: DeploymentLimits.of(config, name) for name in config.models}
        self._quota = Quota(self._redis, SpentBy(self._database, deployments.upstreams()))
        policies = {True: config.retries.interactive, False: config.retries.bulk}
        self._speeds = Speeds(self._redis)
        caller = Caller(self._providers, limits, self._quota, Calibration(), policies, self._speeds)
        self._guard = Guard(config.guard)
        self._tally = Tally(self._redis)
        self._learnt = LearntPolicies.stored(config.routes, self._database)
        self._watch = RouteWatch(self._database, self._learnt)
        self._cache_redis = connect(self.settings.redis_url, size=CONNECTIONS, timeout=None)
        marks = Marks()
        await marks.look(self._database)
        before = await self._before(caller, deployments, marks)
        self._answers = CachedCaller(before, caller, self._cache_redis, config.cache, self._tally.add, marks)
        writer = StreamWriter(self._redis, self.worker_id)
        returns = Returns(self._database, self.worker_id)
        early = EarlyAnswers(self._database, self.worker_id)
        self._doorbell = broker.Doorbell(broker.make_app(self.settings.broker_url, list(config.providers)))
        commit = GroupCommit(self._database, self.worker_id, LINGER_SECONDS[self.lane], self._finalize)
        self._pipeline = Pipeline(
            config, deployments, caller, self._answers, self._guard, self._tally, self._learnt, self._watch, early
        )
        self.runtime = WorkerRuntime(
            lane=self.lane,
            database=self._database,
            redis=self._redis,
            pipeline=self._pipeline,
            exits=Exits(
                commit,
                returns,
                Hops(self._database, self._redis, self._doorbell, deployments),
                Shadows(self._database, self._redis),
                early,
            ),
            writer=writer,
            permits=config.worker.permits,
            worker_id=self.worker_id,
        )
        self.ingest = Ingest(self._database, self._redis, Router(config, deployments, self._speeds, self._learnt))
        await self.runtime.register(self._heart)
        await self._learnt.start()
        hearing = orders.listen(self._redis, self.runtime, self._quota)
        beating = self.runtime.beat(self._heart)
        looking = marks.run(self._database)
        keeping = (writer.run(), commit.run(), returns.run(), early.run(), self._tally.run(), self._speeds.run())
        routes = (self._learnt.run(), self._watch.run())
        for work in (*keeping, *routes, hearing, beating, looking):
            self._background.append(tasks.essential(work))

    async def _before(self, caller: Caller, deployments: Deployments, marks: Marks) -> Completes:
        """The caller with the steps before it, down from the exact cache."""
        config = self.settings.config
        before: Completes = PromptKeeper(caller, Prefixes(self._redis))
        if any(model.continues for model in config.models.values()):
            before = ContinuingCaller(before, Shared(self._cache_redis, config.cache), marks)
        semantic = config.cache.semantic
        if not semantic.models:
            return before
        # Only who wants this cache needs its extra (`penstock[semantic]`).
        from penstock.execution.semantic import standing_before

        return await standing_before(before, caller, semantic, deployments, self._database, self._tally.add)

    async def _finalize(self, batch_ids: frozenset[UUID]) -> None:
        for batch_id in batch_ids:
            await finalize_batch(self._database, batch_id)

    async def _close(self) -> None:
        await self.runtime.drain(DRAIN_SECONDS)
        await self._answers.close()
        await self._pipeline.close()
        await tasks.end(*self._background)
        await self._tally.flush()
        await self._watch.flush()
        await self._speeds.flush()
        await self._guard.close()
        await self._quota.close()
        for provider in self._providers.values():
            await provider.close()
        await self._cache_redis.aclose()
        await self._redis.aclose()
        await self._database.close()
        await self._heart.close()
        self._doorbell.close()


def add_tasks(app: Celery, process: WorkerProcess) -> None:
    """The two tasks: a slice of jobs, and a batch file to be read. Both end as soon as the loop has the work."""

    @app.task(name=broker.RUN_SLICE)  # type: ignore[untyped-decorator]
    def run_slice(deployment: str, lane: str, ids: list[str]) -> None:
        process.wait(process.runtime.accept(deployment, lane, [UUID(hex=job_id) for job_id in ids]))

    @app.task(name=broker.INGEST)  # type: ignore[untyped-decorator]
    def ingest(batch_id: str) -> None:
        process.loop.call_soon_threadsafe(process.ingest.start, UUID(hex=batch_id))


def run(settings: Settings, lane: str, name: str) -> int:
    """Run a worker until it is told to stop; returns the exit code."""
    process = WorkerProcess(settings, lane)
    process.start()
    providers = list(settings.config.providers)
    app = broker.make_app(settings.broker_url, providers)
    add_tasks(app, process)

    def shutting_down(**_: object) -> None:
        _log.info("worker stops: no new claims", worker=name)
        process.loop.call_soon_threadsafe(process.runtime.start_draining)

    worker_shutting_down.connect(shutting_down, weak=False)
    worker = app.Worker(
        pool="threads",
        concurrency=THREADS[lane],
        queues=broker.lane_queues(lane, providers),
        hostname=f"{name}@{os.uname().nodename}",
        loglevel=logging.WARNING,
        task_events=True,
        without_gossip=True,
        without_mingle=True,
        without_heartbeat=False,
    )
    worker.start()
    process.stop()
    return int(worker.exitcode or 0)
