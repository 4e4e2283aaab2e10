"""All unfinished work at one moment, in the order in which it will be served, and when each batch's share of it is."""

from collections import defaultdict, deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from uuid import UUID

from penstock.rules.forecast import Mean, Shares, Supply, Waiting, Work, seconds_for
from penstock.store.forecasts import Part

#: the pace is that of the last so many seconds, and known after so many
_PACE_SECONDS, _PACE_KNOWN = 30.0, 5.0


@dataclass(slots=True)
class Pace:
    """How many expected tokens of work ended at one deployment, while there was always some left."""

    seen: deque[tuple[float, float]] = field(default_factory=deque)

    def see(self, now: float, ended: float) -> None:
        """So much ended since the last time. Times in seconds of any clock."""
        total = self.seen[-1][1] + max(ended, 0.0) if self.seen else 0.0
        self.seen.append((now, total))
        while len(self.seen) > 2 and now - self.seen[1][0] >= _PACE_SECONDS:
            self.seen.popleft()

    @property
    def per_second(self) -> float | None:
        """None as long as too little was seen."""
        if not self.seen:
            return None
        (began, first), (ended, last) = self.seen[0], self.seen[-1]
        return (last - first) / (ended - began) if ended - began >= _PACE_KNOWN and last > first else None


@dataclass(frozen=True, slots=True)
class Pool:
    """What one deployment lets through, what its calls come to, and the expected tokens that ended a second.

    An open breaker lets nothing through for `shut` seconds; what follows its probes nobody knows.
    """

    supplies: Sequence[Supply]
    mean: Mean
    pace: float | None
    shut: float = 0.0


@dataclass(slots=True)
class _Load:
    """Work that waits to begin, and all that has not ended: the first needs quota, the second time."""

    waiting: Work = field(default_factory=Work)
    unfinished: Work = field(default_factory=Work)

    @classmethod
    def of(cls, part: Part) -> "_Load":
        return cls(Work(part.waiting_jobs, part.waiting_tokens), Work(part.jobs, part.tokens))

    def __add__(self, other: "_Load") -> "_Load":
        return _Load(self.waiting + other.waiting, self.unfinished + other.unfinished)


class Outlook:
    """The forecast of one moment. Batches that are hurried go first in their flows, in the order of the calls."""

    def __init__(
        self,
        parts: Sequence[Part],
        pools: Mapping[str, Pool],
        tiers: Mapping[str, Sequence[Supply]],
        weight_of: Callable[[str, str], float],
    ) -> None:
        self._pools = pools
        self._tiers = tiers
        self._weight_of = weight_of
        self._of_batch: defaultdict[UUID, list[Part]] = defaultdict(list)
        #: by flow: what is served before each of its parts, and all of it
        self._before: dict[Part, _Load] = {}
        self._flows: defaultdict[int, _Load] = defaultdict(_Load)
        #: by tenant: what of it is served before a part ends, wherever
        self._of_tenant: dict[Part, Work] = {}
        self._hurried: defaultdict[int, list[Part]] = defaultdict(list)
        tenants: defaultdict[str, Work] = defaultdict(Work)
        of_pool: defaultdict[str, dict[int, float]] = defaultdict(dict)
        for part in sorted(parts, key=lambda part: (part.priority, part.since)):
            load = _Load.of(part)
            self._before[part] = self._flows[part.flow_id]
            self._flows[part.flow_id] += load
            tenants[part.tenant_id] += load.waiting
            self._of_tenant[part] = tenants[part.tenant_id]
            of_pool[part.pool][part.flow_id] = weight_of(part.tenant_id, part.tier)
            if part.batch_id is not None:
                self._of_batch[part.batch_id].append(part)
        self._waiting = {pool: self._shares(flows, waiting=True) for pool, flows in of_pool.items()}
        self._unfinished = {pool: self._shares(flows, waiting=False) for pool, flows in of_pool.items()}

    def _shares(self, weights: Mapping[int, float], *, waiting: bool) -> Shares:
        loads = {flow: self._flows[flow] for flow in weights}
        return Shares(
            {flow: Waiting(load.waiting if waiting else load.unfinished, weights[flow]) for flow, load in loads.items()}
        )

    def parts(self, batch_id: UUID) -> Sequence[Part]:
        """What is left of a batch."""
        return self._of_batch[batch_id]

    def in_turn(self, batch_id: UUID) -> float | None:
        """Seconds until a batch is done in its turn; None where nothing says how fast work goes."""
        return self._latest(batch_id, self._ahead_in_turn)

    def if_first(self, batch_id: UUID) -> float | None:
        """As `in_turn`, if it went before all of its flows but what was hurried before it."""
        return self._latest(batch_id, self._ahead_if_first)

    def hurry(self, batch_id: UUID) -> None:
        """Let a batch go first from now on."""
        for part in self._of_batch[batch_id]:
            self._hurried[part.flow_id].append(part)

    def _latest(self, batch_id: UUID, ahead: Callable[[Part], _Load]) -> float | None:
        latest: float | None = None
        for part in self._of_batch[batch_id]:
            seconds = self._seconds(part, ahead(part) + _Load.of(part))
            if seconds is None:
                return None
            latest = seconds if latest is None else max(latest, seconds)
        return latest

    def _ahead_in_turn(self, part: Part) -> _Load:
        before = self._before[part]
        for other in self._hurried[part.flow_id]:
            if self._before[other].unfinished.requests > before.unfinished.requests:
                before += _Load.of(other)
        return before

    def _ahead_if_first(self, part: Part) -> _Load:
        others = [other for other in self._hurried[part.flow_id] if other.batch_id != part.batch_id]
        mine = self._of_batch[part.batch_id] if part.batch_id is not None else []
        own = [other for other in mine if other.flow_id == part.flow_id and other is not part]
        return sum((_Load.of(other) for other in (*others, *own)), _Load())

    def _seconds(self, part: Part, turn: _Load) -> float | None:
        """Until a part is done whose flow has to serve `turn` first, the part itself included."""
        pool, weight = self._pools[part.pool], self._weight_of(part.tenant_id, part.tier)
        served = self._waiting[part.pool].served_by_then(part.flow_id, turn.waiting, weight)
        found = [
            seconds + pool.mean.seconds
            for seconds in (
                seconds_for(served, pool.supplies, pool.mean),
                seconds_for(self._of_tenant[part], self._tiers[part.tenant_id], pool.mean),
            )
            if seconds is not None
        ]
        if pool.pace is not None:
            worked = self._unfinished[part.pool].served_by_then(part.flow_id, turn.unfinished, weight)
            found.append(worked.tokens / pool.pace)
        return max(found) + pool.shut if found else None
