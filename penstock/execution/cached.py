"""Calls whose answer may be there already: in the cache, or on its way to somebody who asked the same."""

import time

from penstock.cache.coalesce import Flights, Found, Turn
from penstock.cache.exact import Entry, Memory, Shared
from penstock.cache.invalidation import Kept, Marks
from penstock.cache.key import cache_key
from penstock.cache.policy import CachePolicy
from penstock.completion import CompletionRequest, CompletionResult
from penstock.configuration.policies import CacheConfig
from penstock.errors import PenstockError
from penstock.execution.call import Emit, NextDeployment, Order
from penstock.execution.guarded import replay
from penstock.execution.record import CallRecord
from penstock.execution.steps import Completes
from penstock.execution.tally import Tally
from penstock.guard.masks import unmasked
from penstock.redis import Redis

#: how an answer ended that is worth keeping: a refusal may be another's mood
_WHOLE = frozenset({"stop", "length", "tool_calls", "stop_sequence"})


class CachedCaller:
    """A `Caller` that pays for an answer once. `redis` is a client of its own, of `exact.CONNECTIONS` connections."""

    def __init__(
        self, caller: Completes, redis: Redis, config: CacheConfig, tally: Tally, marks: Marks | None = None
    ) -> None:
        """`marks` say what was invalidated; None: nothing."""
        self._caller = caller
        self._marks = marks or Marks()
        self._config = config
        self._tally = tally
        self._memory, self._shared = Memory(config.memory_bytes), Shared(redis, config)
        self._flights = Flights(self._memory, self._shared)

    async def complete(
        self, order: Order[CompletionRequest], record: CallRecord, emit: Emit | None
    ) -> CompletionResult:
        """As `Caller.complete`. Only whole answers enter the cache, before masked text is put back in them."""
        policy = order.cache
        wanted = policy is not None and (policy.reads or policy.writes)
        key = cache_key(order.tenant, order.deployment, order.request) if wanted else None
        if policy is None or key is None:
            return await self._caller.complete(order, record, emit)
        found = await self._find_valid(key, policy, order)
        if isinstance(found, Found):
            return self._hit(found, order, record, emit)
        record.cached = "miss"
        self._tally.add("cache", "miss", order.deployment.name)
        return await self._make(found, policy, order, record, emit)

    async def _find_valid(self, key: str, policy: CachePolicy, order: Order[CompletionRequest]) -> Found | Turn:
        """As `_find`, past what was invalidated. An entry's own tags are known only when it is found."""
        kept = Kept(order.tenant, _models(order))
        since = self._marks.before(kept)
        while True:
            found = await self._find(key, policy, _youngest(policy.max_age, since))
            if not isinstance(found, Found):
                return found
            entry = found.entry
            since = self._marks.before(Kept(order.tenant, (*kept.models, *entry.models), entry.tags))
            if entry.created > since:
                return found

    async def _find(self, key: str, policy: CachePolicy, max_age: float | None) -> Found | Turn:
        if policy.reads and policy.writes and self._config.coalesce:
            return await self._flights.enter(key, max_age)
        if not policy.reads:
            return Turn(key, lead=False)
        since = time.time() - max_age if max_age is not None else 0.0
        data = self._memory.get(key, since)
        if data is not None:
            return Found(Entry.from_bytes(data), "memory")
        data = await self._shared.get(key, since)
        return Found(Entry.from_bytes(data), "redis") if data is not None else Turn(key, lead=False)

    def _hit(
        self, found: Found, order: Order[CompletionRequest], record: CallRecord, emit: Emit | None
    ) -> CompletionResult:
        record.cached = "coalesced" if found.source == "coalesced" else "hit"
        self._tally.add("cache", found.source, order.deployment.name)
        if found.entry.cost:
            self._tally.add("cache_saved", order.deployment.name, amount=float(found.entry.cost))
        result = found.entry.result
        if emit is not None:
            replay(unmasked(result, order.mask) if order.mask else result, record, emit)
        return result

    async def _make(
        self,
        turn: Turn,
        policy: CachePolicy,
        order: Order[CompletionRequest],
        record: CallRecord,
        emit: Emit | None,
    ) -> CompletionResult:
        began = time.time()
        try:
            result = await self._caller.complete(order, record, emit)
        except (PenstockError, NextDeployment):
            await self._flights.leave(turn, None, passing=False)
            raise
        except BaseException:  # put off or stopped: whoever waits for this answer makes it
            await self._flights.leave(turn, None, passing=True)
            raise
        entry = None
        made = record.cached == "miss"  # and not found by its meaning: that is kept as what it is
        if made and policy.writes and result.finish_reasons and _WHOLE.issuperset(result.finish_reasons):
            data = Entry(result, began, record.cost_of(order.deployment.name), _models(order), policy.tags).to_bytes()
            entry = data if len(data) <= self._config.max_entry_bytes else None
        await self._flights.leave(turn, entry, passing=False)
        return result


def _models(order: Order[CompletionRequest]) -> tuple[str, ...]:
    """The names of the model: as it was asked for, and as it is configured."""
    return order.request.model, order.deployment.name


def _youngest(max_age: float | None, since: float) -> float | None:
    """The greatest age, in seconds, of an entry that is neither older than `max_age` nor made up to `since`."""
    if not since:
        return max_age
    # entries know milliseconds
    valid = max(time.time() - since - 0.001, 0.0)
    return valid if max_age is None else min(max_age, valid)
