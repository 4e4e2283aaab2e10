"""Several prompts of one job: in which order they are asked, and what stops them."""

import asyncio
from collections.abc import Mapping
from typing import Any, cast

import pytest

from penstock.completion import CompletionResult, Finished, PartDelta, PartStarted, ResultBuilder, Usage
from penstock.errors import ProviderOverloaded
from penstock.execution.call import Caller, Deferred, Order
from penstock.execution.prompts import AT_ONCE, complete_each
from penstock.execution.record import CallRecord
from penstock.ids import new_id


def answer(text: str) -> CompletionResult:
    builder = ResultBuilder()
    for event in (PartStarted(0, "text"), PartDelta(0, text), Finished(("stop",), Usage(1, 2))):
        builder.add(event)
    return builder.build()


class Asked:
    """Answers a prompt, here a number, with itself; the first call of some comes to an error instead."""

    def __init__(self, errors: Mapping[int, Exception] | None = None) -> None:
        self._errors = dict(errors or {})
        self.calls: list[int] = []
        self.under_way = self.most = 0

    async def complete(self, order: int, record: CallRecord, _emit: None) -> CompletionResult:
        self.calls.append(order)
        self.under_way += 1
        self.most = max(self.most, self.under_way)
        try:
            await self._work(order)
            error = self._errors.pop(order, None)
            if error is not None:
                record.failures += 1
                raise error
            return answer(str(order))
        finally:
            self.under_way -= 1

    async def _work(self, order: int) -> None:  # noqa: ARG002 — a hanging one looks at it
        await asyncio.sleep(0)


class Hanging(Asked):
    """Never answers the second prompt."""

    async def _work(self, order: int) -> None:
        await (asyncio.Event().wait() if order == 1 else asyncio.sleep(0))


async def ask(caller: Asked, count: int, record: CallRecord | None = None) -> CompletionResult:
    orders = cast("list[Order[Any]]", list(range(count)))
    return await complete_each(cast("Caller", caller), orders, record or CallRecord(new_id(), 1))


async def test_answers_come_in_the_order_of_the_prompts_a_few_at_a_time() -> None:
    caller = Asked()
    result = await ask(caller, 30)
    assert [part.text for part in result.parts] == [str(n) for n in range(30)]
    assert [part.choice for part in result.parts] == list(range(30))
    assert result.usage == Usage(30, 60)
    assert caller.most == AT_ONCE


async def test_what_stops_the_first_prompt_costs_nothing() -> None:
    caller = Asked({0: Deferred(1.0)})
    with pytest.raises(Deferred):
        await ask(caller, 5)
    assert caller.calls == [0]


async def test_a_later_prompt_waits_here_for_its_quota() -> None:
    caller = Asked({3: Deferred(0.0)})
    assert len((await ask(caller, 5)).parts) == 5
    assert caller.calls.count(3) == 2
    assert caller.calls.count(0) == 1


async def test_one_that_would_wait_for_long_gives_the_job_back() -> None:
    with pytest.raises(Deferred):
        await ask(Asked({3: Deferred(3600.0)}), 5)


async def test_one_failure_fails_the_job_and_closes_the_other_calls() -> None:
    caller, record = Hanging({3: ProviderOverloaded("full")}), CallRecord(new_id(), 1)
    with pytest.raises(ProviderOverloaded):
        await ask(caller, 6, record)
    assert 1 in caller.calls
    assert caller.under_way == 0
    assert record.failures == 1
