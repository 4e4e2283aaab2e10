"""One job with several prompts: a call for each, and their answers as one.

The first is asked alone, so that what stands in its way costs nothing. After that the others are asked some at a time;
one that has to wait for its quota waits here, because a job that goes back to the backlog begins anew and pays again.
Nothing is streamed meanwhile: so any call may be repeated, and readers get the whole at the end.
"""

import asyncio
import time
from collections.abc import Sequence

from penstock import tasks
from penstock.completion import CompletionRequest, CompletionResult
from penstock.completion.result import joined
from penstock.execution.cached import CachedCaller
from penstock.execution.call import Deferred, Order
from penstock.execution.record import HITS, CallRecord

#: calls of one job under way
AT_ONCE = 8
#: a job whose prompts get no answer for so long gives its place to others
PATIENCE_SECONDS = 600.0


async def complete_each(
    caller: CachedCaller, orders: Sequence[Order[CompletionRequest]], record: CallRecord
) -> CompletionResult:
    """The answers to all orders, as one in their order. The record is filled with the calls of all.

    Raises:
        Deferred: nothing could be asked yet, or nothing was answered for long.
        NextDeployment: see `Caller.complete`.
        PenstockError: why one of them failed; the others are closed.
    """
    each = [
        CallRecord(record.job_id, record.epoch, record.failures, record.attempts, keeping=record.keeping)
        for _ in orders
    ]
    work = _Work(caller)
    try:
        first = await caller.complete(orders[0], each[0], None)
        rest = [asyncio.create_task(work.answer(*pair)) for pair in zip(orders[1:], each[1:], strict=True)]
        try:
            return joined([first, *await asyncio.gather(*rest)])
        finally:
            await tasks.end(*rest)
    finally:
        record.failures = max(one.failures for one in each)
        if all(one.cached in HITS for one in each):
            record.cached = "hit"


class _Work:
    def __init__(self, caller: CachedCaller) -> None:
        self._caller = caller
        self._places = asyncio.Semaphore(AT_ONCE)
        self._answered = time.monotonic()

    async def answer(self, order: Order[CompletionRequest], record: CallRecord) -> CompletionResult:
        async with self._places:
            while True:
                try:
                    result = await self._caller.complete(order, record, None)
                except Deferred as deferred:
                    if time.monotonic() + deferred.wait > self._answered + PATIENCE_SECONDS:
                        raise
                    await asyncio.sleep(deferred.wait)
                else:
                    self._answered = time.monotonic()
                    return result
