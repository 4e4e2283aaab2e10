"""Around an ill provider: its backlog goes on elsewhere, as far as it may and as fast as it can be taken there.

The jobs in a worker's hands hop by themselves. Those that still wait for an ill deployment would wait for its probes:
the dispatcher moves them, never more than the other deployment can begin now, so that a million lines are not all moved
to a dearer model by a hiccup of half a minute.
"""

from collections.abc import Awaitable, Callable, Sequence

import structlog

from penstock.errors import ProviderCircuitOpen
from penstock.providers.deployments import Deployments
from penstock.store import detours
from penstock.store.database import Database
from penstock.store.detours import Detour, Stranded
from penstock.store.flows import Flow
from penstock.submission.flow_ids import FlowIds

#: jobs looked at in one flow at a time
_LOOK = 500

_log = structlog.get_logger()


class Detours:
    """The way around, for one dispatcher."""

    def __init__(self, database: Database, deployments: Deployments) -> None:
        self._database = database
        self._deployments = deployments
        self._flow_ids = FlowIds(database)

    async def move(self, ill: str, flows: Sequence[Flow], free_at: Callable[[str], Awaitable[int]]) -> int:
        """Move jobs of `flows` away from the deployment `ill`; returns how many.

        `free_at` says how many more jobs a deployment can begin now: none where it is ill too.
        """
        async with self._database.transaction() as connection:
            jobs = await detours.stranded(connection, flows, _LOOK)
            free = {name: await free_at(name) for job in jobs for name in job.fallback}
            rows = []
            for job in jobs:
                name = self._next(job, free)
                if name is not None:
                    flow_id = await self._flow_ids.of(name, "bulk", job.tenant_id)
                    rows.append(Detour(job.id, name, flow_id))
            if not rows:
                return 0
            moved = await detours.move(connection, rows)
        _log.info("jobs go on elsewhere", was=ill, jobs=moved)
        return moved

    def _next(self, job: Stranded, free: dict[str, int]) -> str | None:
        if ProviderCircuitOpen.fallback_reason not in self._deployments.fallback_on(job.model):
            return None
        name = next((name for name in job.fallback if free[name] > 0), None)
        if name is not None:
            free[name] -= 1
        return name
