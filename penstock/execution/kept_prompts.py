"""Calls whose prompt the provider keeps, where that pays."""

from dataclasses import replace

from penstock.cache import prefix
from penstock.cache.prefix import Prefixes
from penstock.completion import CompletionRequest, CompletionResult
from penstock.execution.call import Emit, Order
from penstock.execution.record import CallRecord
from penstock.execution.steps import Completes


class PromptKeeper:
    """A step before the caller: marks or names prompts, and lets one queued call write a prefix that others read."""

    def __init__(self, inner: Completes, prefixes: Prefixes) -> None:
        self._inner = inner
        self._prefixes = prefixes

    async def complete(
        self, order: Order[CompletionRequest], record: CallRecord, emit: Emit | None
    ) -> CompletionResult:
        """As `Caller.complete`."""
        match prefix.help_for(order.deployment, order.size):
            case None:
                return await self._inner.complete(order, record, emit)
            case "key":
                return await self._inner.complete(replace(order, request=prefix.keyed(order.request)), record, emit)
        waits = not order.interactive
        async with self._prefixes.helping(order.request, order.deployment.name, waits=waits) as request:
            return await self._inner.complete(replace(order, request=request), record, emit)
