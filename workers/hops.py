"""A job goes on at another deployment: its row moves, and whoever serves that deployment is told."""

import asyncio
from uuid import UUID

import structlog

from penstock.broker import Doorbell
from penstock.errors import Unavailable
from penstock.execution.work import Hop
from penstock.providers.deployments import Deployments
from penstock.redis import Redis
from penstock.store import hops, jobs
from penstock.store.database import Database
from penstock.store.jobs import ClaimedJob
from penstock.submission.doorbells import wake_dispatcher
from penstock.submission.flow_ids import FlowIds

_RETRY_SECONDS = 0.5

_log = structlog.get_logger()


class Hops:
    """Moves the jobs of one worker to other deployments' queues."""

    def __init__(self, database: Database, redis: Redis, doorbell: Doorbell, deployments: Deployments) -> None:
        self._database = database
        self._redis = redis
        self._doorbell = doorbell
        self._deployments = deployments
        self._flow_ids = FlowIds(database)

    async def move(self, job: ClaimedJob, hop: Hop, worker_id: UUID) -> None:
        """Move a running job; while the database is away, try again."""
        while True:
            try:
                moved = await self._commit(job, hop, worker_id)
                break
            except Unavailable as error:
                _log.warning("hop: the database is away, trying again", error=str(error)[:200], job=job.id.hex)
                await asyncio.sleep(_RETRY_SECONDS)
        if not moved:
            return
        _log.info("a job goes on elsewhere", job=job.id.hex, was=job.deployment, now=hop.deployment)
        if job.lane != "interactive":
            await wake_dispatcher(self._redis)
            return
        deployment = self._deployments.get(hop.deployment)
        assert deployment is not None  # the pipeline names configured ones only
        try:
            await self._doorbell.ring(job.lane, deployment.provider, deployment.name, [job.id])
        except Unavailable:
            _log.warning("the broker is away: a call goes through the backlog", job=job.id.hex)
            await jobs.hand_back(self._database, None, [job.id])

    async def _commit(self, job: ClaimedJob, hop: Hop, worker_id: UUID) -> bool:
        flow_id = await self._flow_ids.of(hop.deployment, job.lane, job.tenant_id)
        return await hops.hop(
            self._database,
            worker_id,
            job.id,
            job.epoch,
            deployment=hop.deployment,
            flow_id=flow_id,
            fallback=hop.fallback,
            steps=hop.steps,
        )
