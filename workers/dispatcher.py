"""The dispatcher: keeps a bounded window of work in each deployment's queue, taken from the backlog in fair order."""

import asyncio
import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from uuid import UUID

import structlog

from penstock.broker import Doorbell
from penstock.configuration import Config
from penstock.errors import Unavailable
from penstock.limits.buckets import BULK_HORIZON_MS, DeploymentLimits
from penstock.limits.quota import Quota, Room
from penstock.providers.deployments import Deployment, Deployments
from penstock.rules.fairness import Contender, rejoin, share
from penstock.store import backlog, flows, jobs
from penstock.store.backlog import Queued
from penstock.store.database import Database
from penstock.store.flows import Flow, Taken
from workers.detours import Detours
from workers.tiers import TierRoom

#: work is sent to workers this many seconds before its quota is there: as far as a reservation reaches
AHEAD_SECONDS = BULK_HORIZON_MS / 1000
#: jobs handed to the queue of an unlimited deployment and not yet claimed
WINDOW = 600
#: what a job is thought to take before one of its flow was seen
_MEAN_TOKENS = 500.0

_log = structlog.get_logger()


@dataclass(slots=True)
class _Clock:
    """The virtual clock of one pool and lane, and what its flows' jobs have taken on average."""

    now: float = 0.0
    mean_tokens: dict[int, float] = field(default_factory=dict)

    def mean(self, flow: Flow) -> float:
        """About how many tokens a job of a flow takes."""
        return self.mean_tokens.get(flow.id, _MEAN_TOKENS)


class Dispatcher:
    """Moves jobs from the backlog into queues. One leads at a time; two at once cost only fairness."""

    def __init__(
        self, database: Database, doorbell: Doorbell, quota: Quota, deployments: Deployments, config: Config
    ) -> None:
        self._database = database
        self._doorbell = doorbell
        self._quota = quota
        self._deployments = deployments
        self._slice = config.worker.slice_size
        self._weight_of = config.weight_of
        self._limits = {name: DeploymentLimits.of(config, name) for name in config.models}
        self._clocks: dict[tuple[str, str], _Clock] = {}
        self._tiers = TierRoom(quota, config)
        self._detours = Detours(database, deployments)
        self._orphans: set[str] = set()

    async def take_over(self) -> None:
        """Begin to lead where the last leader stopped: an idle flow must not come back with credit from long ago."""
        for (pool, lane), now in (await flows.clocks(self._database)).items():
            self._clock(pool, lane).now = now

    async def dispatch(self) -> int:
        """Fill every window once; returns how many jobs were sent, or moved to another deployment's backlog."""
        active = await flows.active(self._database)
        if not active:
            return 0
        queued = {(fill.deployment, fill.lane): fill for fill in await backlog.queued(self._database)}
        pools: dict[tuple[str, str], list[Flow]] = {}
        for flow in active:
            pools.setdefault((flow.pool, flow.lane), []).append(flow)
        sent = 0
        ill: dict[str, list[Flow]] = {}
        free: dict[str, int] = {}
        for (pool, lane), members in pools.items():
            deployment = self._deployments.get(pool)
            if deployment is None:
                self._report_orphan(pool)
                continue
            room = await self._room(deployment, lane)
            slots = self._slots(room, pool, lane, queued)
            taken = await self._fill(deployment, lane, members, slots)
            sent += taken
            if lane == "bulk":
                free[pool] = 0 if room.ill else slots - taken
            if room.ill:
                ill[pool] = members

        async def free_at(name: str) -> int:
            deployment = self._deployments.get(name)
            if name not in free and deployment is not None:
                room = await self._room(deployment, "bulk")
                free[name] = 0 if room.ill else self._slots(room, name, "bulk", queued)
            return free.get(name, 0)

        for pool, members in ill.items():
            sent += await self._detours.move(pool, members, free_at)
        return sent

    async def _room(self, deployment: Deployment, lane: str) -> Room:
        """What the quota of a deployment can take on in the next seconds. Calls with a client waiting are not held."""
        if lane == "interactive":
            return Room()
        return await self._quota.peek(self._limits[deployment.name], AHEAD_SECONDS)

    async def _fill(self, deployment: Deployment, lane: str, members: list[Flow], slots: int) -> int:
        if slots <= 0:
            return 0
        clock = self._clock(deployment.name, lane)
        most = await self._tiers.most(members, clock.mean)
        contenders = [
            Contender(
                rejoin(flow.virtual_time, clock.now),
                self._weight_of(flow.tenant_id, flow.tier),
                clock.mean(flow),
                most.get(flow.id),
            )
            for flow in members
        ]
        counts = share(contenders, slots)
        chosen = [(f, c, n) for f, c, n in zip(members, contenders, counts, strict=True) if n]
        if not chosen:
            return 0
        async with self._database.transaction() as connection:
            taken = await flows.take(connection, deployment.name, [f for f, _, _ in chosen], [n for _, _, n in chosen])
            by_flow: dict[int, list[Taken]] = {}
            for job in taken:
                by_flow.setdefault(job.flow_id, []).append(job)
            changes = [self._account(clock, f, c, n, by_flow.get(f.id, [])) for f, c, n in chosen]
            await flows.advance(connection, changes)
        clock.now = min(contender.virtual_time for _, contender, _ in chosen)
        await self._ring(deployment, lane, taken)
        return len(taken)

    def _clock(self, pool: str, lane: str) -> _Clock:
        return self._clocks.setdefault((pool, lane), _Clock())

    def _slots(self, room: Room, pool: str, lane: str, queued: Mapping[tuple[str, str], Queued]) -> int:
        """How many more jobs the queue of a deployment may hold."""
        fill = queued.get((pool, lane))
        waiting_jobs, waiting_tokens = (fill.jobs, fill.tokens) if fill else (0, 0)
        if room.shut:
            return 0
        slots = min(WINDOW - waiting_jobs, room.requests - waiting_jobs, room.places - waiting_jobs)
        if math.isfinite(room.tokens):
            means = self._clock(pool, lane).mean_tokens.values()
            mean = sum(means) / len(means) if means else _MEAN_TOKENS
            free = room.tokens - waiting_tokens
            # a job larger than what is free at the moment is still sent alone: its reservation will wait for it
            slots = min(slots, max(math.floor(free / mean), 1 if free > 0 and not waiting_jobs else 0))
        return int(slots)

    def _account(
        self, clock: _Clock, flow: Flow, contender: Contender, asked: int, mine: list[Taken]
    ) -> tuple[Flow, float, tuple[int, UUID] | None, bool]:
        tokens = sum(job.tokens for job in mine)
        if mine:
            mean = clock.mean_tokens.get(flow.id, tokens / len(mine))
            clock.mean_tokens[flow.id] = 0.8 * mean + 0.2 * tokens / len(mine)
            self._tiers.sent(flow, len(mine), tokens)
        last = max(((job.priority, job.id) for job in mine), default=None)
        return flow, contender.virtual_time + tokens / contender.weight, last, len(mine) < asked

    async def _ring(self, deployment: Deployment, lane: str, taken: list[Taken]) -> None:
        ids = [job.id for job in sorted(taken, key=lambda job: (job.priority, job.id))]
        for start in range(0, len(ids), self._slice):
            part = ids[start : start + self._slice]
            try:
                await self._doorbell.ring(lane, deployment.provider, deployment.name, part)
            except Unavailable:
                _log.warning("the broker is away, jobs stay in the backlog", jobs=len(ids) - start)
                await jobs.hand_back(self._database, None, ids[start:])
                await asyncio.sleep(1.0)
                return

    def _report_orphan(self, pool: str) -> None:
        if pool not in self._orphans:
            self._orphans.add(pool)
            _log.error("jobs wait for a model that is not configured (any more)", model=pool)


async def run(dispatcher: Dispatcher, wake: asyncio.Event, leading: asyncio.Event) -> None:
    """Dispatch while leading: at every ring, and a few times a second without one. Until cancelled."""
    led = False
    while True:
        led = led and leading.is_set()
        await leading.wait()
        wake.clear()
        try:
            if not led:
                await dispatcher.take_over()
                led = True
            sent = await dispatcher.dispatch()
        except Unavailable as error:
            _log.warning("dispatch: the database is away", error=type(error).__name__)
            await asyncio.sleep(0.5)
            continue
        # a full slice more may fit soon; without news look again in a quarter of a second
        pause = 0.02 if sent else 0.05 if wake.is_set() else 0.25
        try:
            await asyncio.wait_for(wake.wait(), pause)
        except TimeoutError:
            continue
        await asyncio.sleep(0.005)
