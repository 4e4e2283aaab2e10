"""Calls whose answer may be there already: in the cache, or on its way to somebody who asked the same."""

import time
from collections.abc import Awaitable, Callable
from typing import Any

from penstock.cache.coalesce import Flights, Found, Turn
from penstock.cache.exact import Entry, Memory, Shared
from penstock.cache.invalidation import Kept, Marks
from penstock.cache.key import cache_key
from penstock.cache.policy import CachePolicy
from penstock.completion import CompletionRequest, CompletionResult, EmbeddingRequest, EmbeddingResult
from penstock.configuration.policies import CacheConfig
from penstock.errors import PenstockError
from penstock.execution.call import Answer, Emit, NextDeployment, Order
from penstock.execution.guarded import replay
from penstock.execution.record import CallRecord
from penstock.execution.steps import Completes, Embeds
from penstock.guard.masks import unmasked
from penstock.redis import Redis

#: how an answer ended that is worth keeping: a refusal may be another's mood
_WHOLE = frozenset({"stop", "length", "tool_calls", "stop_sequence"})
#: takes what is counted for `/metrics`: a name, the values of its labels, and `amount`
Count = Callable[..., None]


class CachedCaller:
    """A `Caller` that pays for an answer once, in front of `completes` and `embeds`.

    `redis` is a client of its own, of `exact.CONNECTIONS` connections and without a timeout; without one nothing is
    shared with other processes. Belongs to one event loop.
    """

    def __init__(
        self,
        completes: Completes,
        embeds: Embeds,
        redis: Redis | None,
        config: CacheConfig,
        count: Count,
        marks: Marks | None = None,
    ) -> None:
        """`marks` say what was invalidated; None: nothing."""
        self._completes = completes
        self._embeds = embeds
        self._marks = marks or Marks()
        self._config = config
        self._count = count
        self._memory, self._shared = Memory(config.memory_bytes), Shared(redis, config)
        self._flights = Flights(self._memory, self._shared, config.max_entry_bytes)

    async def complete(
        self, order: Order[CompletionRequest], record: CallRecord, emit: Emit | None
    ) -> CompletionResult:
        """As `Caller.complete`. Only whole answers enter the cache, before masked text is put back in them.

        What is kept for others is on its way when this returns: the record knows.
        """

        def make() -> Awaitable[CompletionResult]:
            return self._completes.complete(order, record, emit)

        found = await self._answer(order, record, make, _is_whole)
        if not isinstance(found, Entry):
            return found
        assert isinstance(found.result, CompletionResult)  # its key says so
        if emit is not None:
            replay(unmasked(found.result, order.mask) if order.mask else found.result, record, emit)
        return found.result

    async def embed(self, order: Order[EmbeddingRequest], record: CallRecord) -> EmbeddingResult:
        """As `Caller.embed`."""

        def make() -> Awaitable[EmbeddingResult]:
            return self._embeds.embed(order, record)

        found = await self._answer(order, record, make, lambda _: True)
        if not isinstance(found, Entry):
            return found
        assert isinstance(found.result, EmbeddingResult)  # its key says so
        return found.result

    async def close(self) -> None:
        """Finish keeping what was answered."""
        await self._flights.close()
        await self._shared.close()

    async def _answer(
        self,
        order: Order[Any],
        record: CallRecord,
        make: Callable[[], Awaitable[Answer]],
        is_whole: Callable[[Answer], bool],
    ) -> Answer | Entry:
        """What was made now, or the entry that was there."""
        policy = order.cache
        wanted = policy is not None and (policy.reads or policy.writes)
        key = cache_key(order.tenant, order.deployment, order.request) if wanted else None
        if policy is None or key is None:
            return await make()
        found = await self._find_valid(key, policy, order)
        if isinstance(found, Found):
            self._note(found, order, record)
            return found.entry
        record.cached = "miss"
        began = time.time()
        try:
            result = await make()
        except (PenstockError, NextDeployment):
            self._flights.leave(found, None, passing=False)
            raise
        except BaseException:  # put off or stopped: whoever waits for this answer makes it
            self._flights.leave(found, None, passing=True)
            raise
        entry = None
        # an answer found by its meaning is kept as what it is, not as that of this request
        if record.cached == "miss" and policy.writes and is_whole(result):
            entry = Entry(result, began, record.cost_of(order.deployment.name), _models(order), policy.tags)
        record.keeping.append(self._flights.leave(found, entry, passing=False))
        if record.cached == "miss":
            self._count("cache", "miss", order.deployment.name)
        return result

    async def _find_valid(self, key: str, policy: CachePolicy, order: Order[Any]) -> Found | Turn:
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

    def _note(self, found: Found, order: Order[Any], record: CallRecord) -> None:
        record.cached = "coalesced" if found.source == "coalesced" else "hit"
        self._count("cache", found.source, order.deployment.name)
        if found.entry.cost:
            self._count("cache_saved", order.deployment.name, order.tenant, amount=float(found.entry.cost))


def _is_whole(result: CompletionResult) -> bool:
    return bool(result.finish_reasons) and _WHOLE.issuperset(result.finish_reasons)


def _models(order: Order[Any]) -> tuple[str, ...]:
    """The names of the model: as it was asked for, and as it is configured."""
    return order.request.model, order.deployment.name


def _youngest(max_age: float | None, since: float) -> float | None:
    """The greatest age, in seconds, of an entry that is neither older than `max_age` nor made up to `since`."""
    if not since:
        return max_age
    # entries know milliseconds
    valid = max(time.time() - since - 0.001, 0.0)
    return valid if max_age is None else min(max_age, valid)
