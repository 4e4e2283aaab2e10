"""When batches will be done, as things stand; and those that would be late in their turn go first.

A look at all unfinished work, at the buckets it draws from, and at how fast work ended since the last looks. The
arithmetic is `rules.forecast`.
"""

import asyncio
import math
import time
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import replace
from uuid import UUID

import structlog

from penstock.configuration import Config
from penstock.limits.buckets import DeploymentLimits, TokenBucket, tier_buckets
from penstock.limits.quota import Quota
from penstock.rules.forecast import Mean, Prospect, Supply, Unit, must_hurry
from penstock.store import forecasts
from penstock.store.database import Database
from penstock.store.forecasts import Calls, Estimate, OpenBatch, Part
from workers.outlook import Outlook, Pace, Pool

#: of jobs that go before all others of their tenant, whatever priority these were given
URGENT = -1000
#: so many times the duration of a look passes before the next one
_REST = 20
#: means are over so many calls of the last so many seconds
_CALLS, _CALLS_SECONDS = 200, 300.0
#: jobs of one batch made urgent at a time: what may leave until the next look, and then some
_LEAST_HURRIED, _HURRIED_SECONDS = 200, 60.0

_UNITS: dict[str, Unit] = {
    "requests": "requests", "tokens": "tokens", "input_tokens": "input", "output_tokens": "output",
}  # fmt: skip

_log = structlog.get_logger()


class Forecasts:
    """The forecasts of the leading dispatcher."""

    def __init__(self, database: Database, quota: Quota, config: Config) -> None:
        self._database = database
        self._quota = quota
        self._config = config
        self._limits = {name: DeploymentLimits.of(config, name) for name in config.models}
        self._paces: defaultdict[str, Pace] = defaultdict(Pace)
        self._last: dict[tuple[UUID, str], int] = {}

    async def look_and_rest(self) -> None:
        """As `look`, and then nothing for much longer than that took: it reads every unfinished row."""
        began = time.monotonic()
        await self.look()
        await asyncio.sleep((time.monotonic() - began) * _REST)

    async def look(self) -> None:
        """Make and keep a forecast of every open batch, and hurry those that need it."""
        batches = await forecasts.open_batches(self._database)
        if not batches:
            self._paces.clear()
            self._last.clear()
            return
        outlook = await self._outlook(batches)
        estimates = []
        for batch in sorted(batches, key=lambda batch: batch.left):
            await asyncio.sleep(0)  # there may be thousands
            seconds = await self._forecast(outlook, batch)
            if seconds is not None or batch.estimated:
                estimates.append(Estimate(batch.id, seconds))
        await forecasts.save(self._database, estimates)

    async def _forecast(self, outlook: Outlook, batch: OpenBatch) -> float | None:
        """Seconds until a batch is done; where it helps it is hurried, and counts as first from then on."""
        in_turn, if_first = outlook.in_turn(batch.id), outlook.if_first(batch.id)
        if in_turn is None or if_first is None or not math.isfinite(in_turn):
            return None
        if not must_hurry(Prospect(batch.left, in_turn, if_first)):
            return in_turn
        outlook.hurry(batch.id)
        parts = outlook.parts(batch.id)
        for part in parts:
            urgent = sum(p.waiting_jobs for p in parts if p.flow_id == part.flow_id and p.priority == URGENT)
            wanted = self._leaving(part, if_first) - urgent
            if part.priority > URGENT and wanted > 0:
                hurried = await forecasts.hurry(self._database, part, URGENT, wanted)
                _log.info("a batch goes first, or it would be late", batch=batch.id.hex, jobs=hurried)
        return if_first

    def _leaving(self, part: Part, seconds: float) -> int:
        """About how many jobs of a part may leave until the next look, and then some."""
        return max(_LEAST_HURRIED, round(part.waiting_jobs * _HURRIED_SECONDS / max(seconds, _HURRIED_SECONDS)))

    async def _outlook(self, batches: Sequence[OpenBatch]) -> Outlook:
        known = {batch.id: batch for batch in batches}
        found = [part for part in await forecasts.unfinished(self._database) if part.pool in self._limits]
        pools = sorted({part.pool for part in found})
        self._see_pace(found, known, pools)
        means = {
            call.deployment: _mean(call)
            for call in await forecasts.latest_calls(self._database, pools, _CALLS_SECONDS, _CALLS)
        }
        tenants = {(part.tenant_id, part.tier) for part in found}
        return Outlook(
            [_whole(part, known) for part in found],
            {
                name: Pool(
                    await self._supplies(self._limits[name].buckets),
                    means[name],
                    self._paces[name].per_second,
                    await self._shut(self._limits[name]),
                )
                for name in pools
            },
            {tenant: await self._supplies(tier_buckets(self._config, tenant, tier)) for tenant, tier in tenants},
            self._config.weight_of,
        )

    def _see_pace(self, parts: Sequence[Part], batches: dict[UUID, OpenBatch], pools: Sequence[str]) -> None:
        """Compare what is left of batches that were read in whole with what was left of them before."""
        left: defaultdict[tuple[UUID, str], int] = defaultdict(int)
        for part in parts:
            if part.batch_id in batches and batches[part.batch_id].whole:
                left[part.batch_id, part.pool] += part.tokens
        for name in self._paces.keys() - set(pools):
            del self._paces[name]  # it had nothing to do: its pace begins anew
        now = time.monotonic()
        for name in pools:
            ended = sum(tokens - left.get(key, 0) for key, tokens in self._last.items() if key[1] == name)
            self._paces[name].see(now, ended)
        self._last = dict(left)

    async def _shut(self, limits: DeploymentLimits) -> float:
        state = await self._quota.known((), (), (limits.gate,))
        return state.gates[limits.gate].shut_ms / 1000

    async def _supplies(self, buckets: Sequence[TokenBucket]) -> list[Supply]:
        if not buckets:
            return []
        supplies = []
        for bucket, state in (await self._quota.known(buckets)).buckets.items():
            assert state is not None  # it is known
            held = state.available(0) if state.level > 0 else state.level
            # a pause is as good as a debt
            supplies.append(Supply(_UNITS[bucket.resource], held - state.rate * state.paused_ms, state.rate * 1000))
        return supplies


def _whole(part: Part, batches: dict[UUID, OpenBatch]) -> Part:
    """A part with its share of the lines that are not read yet: they will be as those that are."""
    batch = batches.get(part.batch_id) if part.batch_id is not None else None
    if batch is None or batch.whole or not batch.ingested:
        return part
    rest = (batch.total - batch.ingested) / batch.ingested
    jobs, tokens = round(part.jobs * rest), round(part.tokens * rest)
    return replace(
        part,
        jobs=part.jobs + jobs,
        tokens=part.tokens + tokens,
        waiting_jobs=part.waiting_jobs + jobs,
        waiting_tokens=part.waiting_tokens + tokens,
    )


def _mean(calls: Calls) -> Mean:
    if calls.input_tokens is None or calls.output_tokens is None or not calls.expected:
        return Mean()
    tokens = calls.input_tokens + calls.output_tokens
    share = calls.input_tokens / tokens if tokens else 0.5
    return Mean(tokens / calls.expected, share, calls.seconds or 0.0)
