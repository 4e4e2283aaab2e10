"""How much more the queue of each deployment may hold, at one look of the dispatcher."""

import math
from collections.abc import Mapping
from dataclasses import dataclass, field

from penstock.limits.buckets import BULK_HORIZON_MS, DeploymentLimits
from penstock.limits.quota import Quota, Room
from penstock.store import backlog
from penstock.store.backlog import Queued
from penstock.store.database import Database

#: work is sent to workers this many seconds before its quota is there: as far as a reservation reaches
AHEAD_SECONDS = BULK_HORIZON_MS / 1000
#: jobs handed to the queue of an unlimited deployment and not yet claimed
WINDOW = 600


@dataclass(slots=True)
class Windows:
    """The windows of all deployments; what is taken at this look is counted. Several pools may share a deployment."""

    _quota: Quota
    _limits: Mapping[str, DeploymentLimits]
    _queued: dict[tuple[str, str], Queued]
    _rooms: dict[str, Room] = field(default_factory=dict)

    @classmethod
    async def look(cls, database: Database, quota: Quota, limits: Mapping[str, DeploymentLimits]) -> "Windows":
        """The windows as they are now."""
        return cls(quota, limits, {(fill.deployment, fill.lane): fill for fill in await backlog.queued(database)})

    async def room(self, deployment: str, lane: str) -> Room:
        """What the quota of a deployment can take on in the next seconds. Calls with a client waiting are not held."""
        if lane == "interactive":
            return Room()
        if deployment not in self._rooms:
            self._rooms[deployment] = await self._quota.peek(self._limits[deployment], AHEAD_SECONDS)
        return self._rooms[deployment]

    async def slots(self, deployment: str, lane: str, mean_tokens: float) -> int:
        """How many more jobs, of about so many tokens each, the queue of a deployment may hold."""
        room = await self.room(deployment, lane)
        fill = self._queued.get((deployment, lane))
        waiting_jobs, waiting_tokens = (fill.jobs, fill.tokens) if fill else (0, 0)
        if room.shut:
            return 0
        slots = min(WINDOW - waiting_jobs, room.requests - waiting_jobs, room.places - waiting_jobs)
        if math.isfinite(room.tokens):
            free = room.tokens - waiting_tokens
            # a job larger than what is free at the moment is still sent alone: its reservation will wait for it
            slots = min(slots, max(math.floor(free / mean_tokens), 1 if free > 0 and not waiting_jobs else 0))
        return max(int(slots), 0)

    def took(self, deployment: str, lane: str, jobs: int, tokens: int) -> None:
        """So many jobs were put into that queue."""
        fill = self._queued.get((deployment, lane), Queued(deployment, lane, 0, 0))
        self._queued[deployment, lane] = Queued(deployment, lane, fill.jobs + jobs, fill.tokens + tokens)
