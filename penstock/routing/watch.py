"""Counts what becomes of the answers of routes, for `penstock.routing.drift`. Kept by the hour in the database.

A process adds its counts up and sends them every few seconds: one that is killed loses those of its last seconds.
"""

import asyncio
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import structlog

from penstock.completion.step import RouteStep
from penstock.configuration import Config
from penstock.errors import Unavailable
from penstock.routing import drift
from penstock.routing.features import Exchange
from penstock.routing.learnt import LearntPolicies, LearntPolicy
from penstock.store import route_counts, shadows
from penstock.store.database import Database
from penstock.store.route_counts import Counted

_SECONDS = 2.0

_log = structlog.get_logger()


class RouteWatch:
    """The counts of one process on their way to the database."""

    def __init__(self, database: Database, learnt: LearntPolicies) -> None:
        self._database = database
        self._learnt = learnt
        self._counts: Counter[Counted] = Counter()

    def stage(self, route: str, steps: Sequence[RouteStep], chosen: RouteStep | None, *, first: bool) -> None:
        """A stage of an escalating route ended: `steps` were asked, `chosen` is the one that was accepted."""
        policy = self._learnt.policy(route)
        version = policy.version if policy is not None else 0
        if first:
            self._add(route, version, drift.ANSWERED)
            if chosen is None:
                self._add(route, version, drift.ESCALATED)
        agreements = [found for step in steps if (found := step.signals.get("agreement")) is not None]
        if agreements:
            self._add(route, version, drift.COMPARED)
            self._add(route, version, drift.AGREED, max(agreements))
        for step in steps:
            need = step.signals.get("need")
            if need is not None:
                self.scored(route, need, strange=bool(step.signals.get("strange")))

    def asked(self, route: str, policy: LearntPolicy, prompt: str) -> None:
        """A prompt came to a route whose learnt policy decides between two models by it."""
        verdict = policy.artefact.decide(Exchange(prompt))
        self._add(route, policy.version, drift.ANSWERED)
        if verdict.escalate:
            self._add(route, policy.version, drift.ESCALATED)
        self.scored(route, verdict.need, strange=verdict.strange is not None)

    def scored(self, route: str, need: float, *, strange: bool) -> None:
        """A learnt score was asked; `strange` says that the prompt is unlike those of calibration."""
        policy = self._learnt.policy(route)
        if policy is not None and strange:
            self._add(route, policy.version, drift.STRANGE)
        bounds = policy.baseline.get("need_edges") if policy is not None else None
        if policy is not None and bounds:
            self._add(route, policy.version, drift.tenth(need, bounds))

    def _add(self, route: str, version: int, name: str, amount: float = 1.0) -> None:
        self._counts[route, version, name] += amount  # type: ignore[assignment]  # shares of agreement are no integers

    async def run(self) -> None:
        """Send until cancelled."""
        while True:
            await asyncio.sleep(_SECONDS)
            await self.flush()

    async def flush(self) -> None:
        """Send what was counted; while the database is away it is kept."""
        counts, self._counts = self._counts, Counter()
        if not counts:
            return
        try:
            await route_counts.add(self._database, counts)
        except Unavailable as error:
            _log.warning("counts of routes are kept: the database is away", error=error.message)
            self._counts.update(counts)


@dataclass(frozen=True, slots=True)
class RouteStatus:
    """How the calibration of a route holds: `version` of its learnt policy (None for none), and its shadow samples."""

    route: str
    version: int | None
    drift: drift.Drift
    shadows: shadows.Tally


def watched(config: Config) -> list[str]:
    """The routes that learn, or whose answers are sampled."""
    return [
        name for name, route in config.routes.items() if route.strategy in {"escalation", "content"} or route.shadow
    ]


async def status(database: Database, learnt: LearntPolicies, route: str, hours: float) -> RouteStatus:
    """The status of a route over the last `hours`.

    Raises:
        Unavailable: the database cannot be reached.
    """
    policy = learnt.policy(route)
    version = policy.version if policy is not None else 0
    counts = await route_counts.recent(database, route, version, hours)
    taken = await shadows.recent(database, route, version, hours)
    baseline = policy.baseline if policy is not None else None
    found = drift.drift(baseline, counts, (taken.compared, taken.agreed), learnt.problems.get(route))
    return RouteStatus(route, policy.version if policy is not None else None, found, taken)
