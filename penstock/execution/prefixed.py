"""Calls that help the provider's prompt cache: prompts are marked where that pays, and one writes for many."""

from dataclasses import replace

from penstock.cache import prefix
from penstock.cache.prefix import Prefixes
from penstock.completion import CompletionRequest, CompletionResult
from penstock.execution.call import Caller, Emit, Order
from penstock.execution.record import CallRecord


class PrefixedCaller:
    """A `Caller` below the cache of answers, whose keys are of requests as they were asked."""

    def __init__(self, caller: Caller, prefixes: Prefixes) -> None:
        self._caller = caller
        self._prefixes = prefixes

    async def complete(
        self, order: Order[CompletionRequest], record: CallRecord, emit: Emit | None
    ) -> CompletionResult:
        """As `Caller.complete`. Queued work waits for the call that writes its prefix; a waiting client does not."""
        if not prefix.pays(order.deployment, order.size):
            return await self._caller.complete(order, record, emit)
        waits = not order.interactive
        async with self._prefixes.helping(order.request, order.deployment.name, waits=waits) as request:
            return await self._caller.complete(replace(order, request=request), record, emit)
