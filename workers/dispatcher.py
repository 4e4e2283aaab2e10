"""The dispatcher: keeps a bounded window of work in each deployment's queue, taken from the backlog in fair order."""

import asyncio
import math

import structlog

from penstock.broker import Doorbell
from penstock.errors import Unavailable
from penstock.limits.buckets import DeploymentLimits
from penstock.limits.quota import Quota
from penstock.providers.deployments import Deployment
from penstock.routing.router import Router
from penstock.rules.fairness import QUANTUM, Contender, share, turned
from penstock.store import flows, jobs
from penstock.store.database import Database
from penstock.store.flows import Flow, Taken, Turn
from workers.detours import Detours
from workers.tiers import TierRoom
from workers.waiting import Line, WaitingFlows
from workers.windows import WINDOW, Windows

#: what a job is thought to take before one of its flow was seen
_MEAN_TOKENS = 500.0

_log = structlog.get_logger()


class Dispatcher:
    """Moves jobs from the backlog into queues. One leads at a time; two at once cost only fairness."""

    def __init__(self, database: Database, doorbell: Doorbell, quota: Quota, router: Router) -> None:
        self._database = database
        self._doorbell = doorbell
        self._quota = quota
        self._router = router
        config, deployments = router.config, router.deployments
        self._deployments = deployments
        self._slice = config.worker.slice_size
        self._weight_of = config.weight_of
        self._limits = {name: DeploymentLimits.of(config, name) for name in config.models}
        self._waiting = WaitingFlows(database)
        #: what the jobs of flows have taken on average lately
        self._mean_tokens: dict[Line, dict[int, float]] = {}
        self._tiers = TierRoom(quota, config)
        self._detours = Detours(database, deployments)
        self._orphans: set[str] = set()
        self._round = 0

    async def take_over(self) -> None:
        """Begin to lead where the last leader stopped."""
        await self._waiting.take_over()

    async def dispatch(self) -> int:
        """Fill every window once; returns how many jobs were sent, or moved to another deployment's backlog."""
        await self._waiting.refresh()
        lines = self._waiting.lines()
        if not lines:
            return 0
        windows = await Windows.look(self._database, self._quota, self._limits)
        self._round += 1
        sent = 0
        ill: list[str] = []
        # who comes first to a deployment that several pools share takes what is free there: each in its turn
        for pool, lane in turned(lines, self._round):
            deployment = self._deployments.get(pool)
            if deployment is not None:
                sent += await self._fill((pool, lane), deployment, windows, WINDOW)
                if (await windows.room(pool, lane)).ill:
                    ill.append(pool)
            elif pool in self._deployments.routes:
                sent += await self._spread((pool, lane), windows)
            else:
                self._report_orphan(pool)

        async def free_at(name: str) -> int:
            known = self._deployments.get(name) is not None
            room = await windows.room(name, "bulk") if known else None
            return 0 if room is None or room.ill else await windows.slots(name, "bulk", self._mean_of((name, "bulk")))

        for pool in ill:
            sent += await self._detours.move(pool, self._waiting.members((pool, "bulk")), free_at)
        return sent

    async def _spread(self, line: Line, windows: Windows) -> int:
        """Give the jobs of a route to its deployments, best first: a slice each time, so that news of speed counts.

        The next one gets some only where the better ones are full, or where nothing is known of them yet.
        """
        sent = 0
        for name, often in await self._router.ranking(line[0]):
            deployment = self._deployments.get(name)
            assert deployment is not None  # rankings name configured ones only
            # what is hardly known, or may be ill still, is tried with a few
            known = often and not (await windows.room(name, line[1])).ill
            most = self._slice if known else QUANTUM
            free = await windows.slots(name, line[1], self._mean_of(line))
            taken = await self._fill(line, deployment, windows, most)
            sent += taken
            if taken < min(most, free) or (known and free > most):
                break
        return sent

    async def _fill(self, line: Line, deployment: Deployment, windows: Windows, most: int) -> int:
        """Take up to `most` jobs in fair order, as the window has room; a flow whose tenant may send nothing rests."""
        lane = line[1]
        slots = min(most, await windows.slots(deployment.name, lane, self._mean_of(line)))
        drawn: list[Flow] = []
        try:
            contenders = await self._contenders(line, slots, drawn)
            counts = share(contenders, slots)
            chosen = [(flow, count) for flow, count in zip(drawn, counts, strict=True) if count]
            if not chosen:
                return 0
            async with self._database.transaction() as connection:
                taken = await flows.take(connection, deployment.name, [f for f, _ in chosen], [n for _, n in chosen])
                by_flow: dict[int, list[Taken]] = {}
                for job in taken:
                    by_flow.setdefault(job.flow_id, []).append(job)
                turns = [self._turn(line, flow, count, by_flow.get(flow.id, [])) for flow, count in chosen]
                await flows.advance(connection, turns)
            self._waiting.clocks[line] = chosen[0][0].virtual_time
            after = {turn.flow.id: turn for turn in turns}
            drawn = [after[flow.id].flow if flow.id in after else flow for flow in drawn]
        finally:
            self._waiting.put_back(drawn)
        for turn in turns:
            if turn.emptied:
                self._waiting.emptied(turn.flow)
        windows.took(deployment.name, lane, len(taken), sum(job.tokens for job in taken))
        await self._ring(deployment, lane, taken)
        return len(taken)

    async def _contenders(self, line: Line, slots: int, drawn: list[Flow]) -> list[Contender]:
        """Those whose turn it is, as many as can use `slots`; they are put into `drawn`, in the same order.

        Of flows in order, no turn before the nth can be that of one after the nth.
        """
        contenders: list[Contender] = []
        wanted = slots
        while wanted > 0 and (next_ones := self._waiting.draw(line, math.ceil(wanted / QUANTUM))):
            drawn += next_ones
            most = await self._tiers.most(next_ones, lambda flow: self._mean(line, flow))
            for flow in next_ones:
                bound = most.get(flow.id)
                if bound == 0:
                    self._waiting.rest(flow, self._tiers.rest(flow))
                weight = self._weight_of(flow.tenant_id, flow.tier)
                contenders.append(Contender(flow.virtual_time, weight, self._mean(line, flow), bound))
                wanted -= QUANTUM if bound is None else min(bound, QUANTUM)
        return contenders

    def _mean(self, line: Line, flow: Flow) -> float:
        """About how many tokens a job of a flow takes."""
        return self._mean_tokens.get(line, {}).get(flow.id, _MEAN_TOKENS)

    def _mean_of(self, line: Line) -> float:
        """About how many tokens a job of a pool and lane takes."""
        means = self._mean_tokens.get(line, {}).values()
        return sum(means) / len(means) if means else _MEAN_TOKENS

    def _turn(self, line: Line, flow: Flow, asked: int, mine: list[Taken]) -> Turn:
        """What a flow's turn came to: it pays for the tokens it took, and goes on after the last job taken."""
        tokens = sum(job.tokens for job in mine)
        if mine:
            means = self._mean_tokens.setdefault(line, {})
            means[flow.id] = 0.8 * means.get(flow.id, tokens / len(mine)) + 0.2 * tokens / len(mine)
            self._tiers.sent(flow, len(mine), tokens)
        return Turn.of(flow, asked, mine, tokens / self._weight_of(flow.tenant_id, flow.tier))

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
