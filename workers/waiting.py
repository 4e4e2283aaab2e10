"""The flows that wait, as one dispatcher knows them: in memory, in order, kept up by what changed in Postgres.

Reading ten thousand flows at every look took most of a core; of those only the few whose turn it is matter.
"""

import time
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import replace

from penstock.rules.fairness import Turns, rejoin
from penstock.store import flows
from penstock.store.database import Database
from penstock.store.flows import Flow

#: seconds after which every flow is read again: tiers of tenants change, and another dispatcher may have led
_WHOLE_SECONDS = 5.0

Line = tuple[str, str]


class WaitingFlows:
    """Flows with work by (pool, lane), each in the order of its turn."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._flows: dict[int, Flow] = {}
        self._turns: defaultdict[Line, Turns] = defaultdict(Turns)
        #: flows that may send nothing before a moment, by the clock of this process
        self._resting: dict[int, float] = {}
        #: how far the virtual clock of each pool and lane has come
        self.clocks: defaultdict[Line, float] = defaultdict(float)
        self._since, self._whole_at = 0, float("-inf")

    async def take_over(self) -> None:
        """Begin to lead where the last leader stopped: an idle flow must not come back with credit from long ago."""
        self.clocks.update(await flows.clocks(self._database))
        self._whole_at = float("-inf")

    async def refresh(self) -> None:
        """Learn what changed; everything now and then.

        Raises:
            Unavailable: the database is away; what was known stays.
        """
        now = time.monotonic()
        whole = now > self._whole_at + _WHOLE_SECONDS
        found, since = await flows.woken(self._database, 0 if whole else self._since)
        if whole:
            self._whole_at = now
            for flow_id in self._flows.keys() - {flow.id for flow in found}:
                self.emptied(self._flows[flow_id])
        self._since = since
        for flow in found:
            self._flows[flow.id] = flow
            self._wait(flow)
        for flow_id in [flow_id for flow_id, until in self._resting.items() if until <= now]:
            del self._resting[flow_id]
            self._wait(self._flows[flow_id])

    def lines(self) -> list[Line]:
        """Every pool and lane with a flow whose turn may come."""
        return [line for line, turns in self._turns.items() if turns]

    def members(self, line: Line) -> list[Flow]:
        """Every flow of a pool and lane, in no order."""
        return [flow for flow in self._flows.values() if (flow.pool, flow.lane) == line]

    def draw(self, line: Line, count: int) -> list[Flow]:
        """The next flows, at most `count`, each at a virtual time that is not before the clock.

        They have no further turn until they are put back, rest, or turn out to be empty.
        """
        clock = self.clocks[line]
        drawn = (self._flows[flow_id] for flow_id in self._turns[line].draw(count))
        return [replace(flow, virtual_time=rejoin(flow.virtual_time, clock)) for flow in drawn]

    def put_back(self, drawn: Iterable[Flow]) -> None:
        """Let flows wait for their next turn, as they are now; those that rest, later."""
        for flow in drawn:
            self._flows[flow.id] = flow
            self._wait(flow)

    def rest(self, flow: Flow, seconds: float) -> None:
        """A flow that was drawn may send nothing for a while."""
        self._resting[flow.id] = time.monotonic() + seconds

    def emptied(self, flow: Flow) -> None:
        """A flow has no more work; it is read again when it is woken."""
        self._flows.pop(flow.id, None)
        self._resting.pop(flow.id, None)
        self._turns[flow.pool, flow.lane].drop(flow.id)

    def _wait(self, flow: Flow) -> None:
        if flow.id in self._resting:
            return
        line = flow.pool, flow.lane
        self._turns[line].put(flow.id, rejoin(flow.virtual_time, self.clocks[line]))
