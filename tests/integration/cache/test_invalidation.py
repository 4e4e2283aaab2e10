"""Exact entries that were invalidated, over a real Postgres and a real Redis."""

import asyncio
from dataclasses import dataclass, field, replace
from typing import cast

import pytest

from penstock.cache.invalidation import Marks
from penstock.cache.policy import CachePolicy
from penstock.completion import CompletionRequest, CompletionResult, Message, Text
from penstock.completion.events import Finished, PartDelta, PartStarted
from penstock.completion.result import ResultBuilder
from penstock.completion.usage import Usage
from penstock.configuration import Config
from penstock.execution.cached import CachedCaller
from penstock.execution.call import Emit, Order
from penstock.execution.record import CallRecord
from penstock.execution.steps import Embeds
from penstock.execution.tally import Tally
from penstock.ids import new_id
from penstock.providers.deployments import Deployments
from penstock.redis import Redis
from penstock.store import cache_marks
from penstock.store.cache_marks import Scope
from penstock.store.database import Database

CONFIG = Config.model_validate(
    {
        "providers": {"p": {"wire_format": "openai", "base_url": "http://127.0.0.1:1"}},
        "models": {"fast": {"provider": "p"}},
    }
)
REQUEST = CompletionRequest(model="answers", messages=(Message("user", (Text("hi"),)),), temperature=0)


@dataclass
class Provider:
    """Answers each call with its number, after `gate` if there is one."""

    calls: int = 0
    begun: asyncio.Event = field(default_factory=asyncio.Event)
    gate: asyncio.Event | None = None

    async def complete(
        self,
        order: Order[CompletionRequest],  # noqa: ARG002 — see Completes
        record: CallRecord,  # noqa: ARG002
        emit: Emit | None,  # noqa: ARG002
    ) -> CompletionResult:
        self.calls += 1
        text = str(self.calls)
        self.begun.set()
        if self.gate is not None:
            await self.gate.wait()
        builder = ResultBuilder()
        for event in (PartStarted(0, "text"), PartDelta(0, text), Finished(("stop",), Usage(3, 2))):
            builder.add(event)
        return builder.build()


@dataclass
class Bench:
    database: Database
    provider: Provider
    marks: Marks
    caller: CachedCaller

    async def ask(self, *tags: str, tenant: str = "a", coalesce: bool = True) -> str:
        deployment = Deployments(CONFIG).get("fast")
        assert deployment is not None
        policy = CachePolicy(reads=True, writes=coalesce, tags=tags)
        order = Order(REQUEST, deployment, 10, interactive=False, tenant=tenant, cache=policy)
        return (await self.caller.complete(order, CallRecord(new_id(), 1), None)).text

    async def invalidate(self, scope: Scope, older_than: float = 0.0) -> None:
        await cache_marks.invalidate(self.database, scope, older_than=older_than)
        await self.marks.look(self.database)


def caching(provider: Provider, redis: Redis, marks: Marks) -> CachedCaller:
    return CachedCaller(provider, cast("Embeds", provider), redis, CONFIG.cache, Tally(redis).add, marks)


def process(bench: Bench, redis: Redis) -> Bench:
    """Another process over the same servers: its own memory, the same provider."""
    return replace(bench, caller=caching(bench.provider, redis, bench.marks))


@pytest.fixture
async def bench(database: Database, redis: Redis) -> Bench:
    provider, marks = Provider(), Marks()
    return Bench(database, provider, marks, caching(provider, redis, marks))


@pytest.mark.parametrize(
    ("scope", "asked_again"),
    [
        (Scope("a", tag="prices"), True),
        (Scope("a", "answers"), True),
        (Scope("a", "fast"), True),
        (Scope("a", "answers", "prices"), True),
        (Scope("", "fast"), True),
        (Scope("a"), True),
        (Scope("a", tag="other"), False),
        (Scope("a", "answers", "other"), False),
        (Scope("b", tag="prices"), False),
    ],
)
async def test_entries_are_invalidated_by_tag_and_both_names_of_the_model(
    bench: Bench, redis: Redis, scope: Scope, asked_again: bool
) -> None:
    assert await bench.ask("prices", "stock") == "1"
    await bench.invalidate(scope)
    again = "2" if asked_again else "1"
    assert await bench.ask("prices") == again, "from the process"
    assert await process(bench, redis).ask() == again, "from Redis, whatever tags ask"
    assert await bench.ask(coalesce=False) == again, "the new answer is served"


async def test_by_age_only_older_entries_are_invalidated(bench: Bench) -> None:
    await bench.ask("prices")
    await bench.invalidate(Scope("a", tag="prices"), older_than=3600)
    assert await bench.ask() == "1"


async def test_an_answer_under_way_when_its_tag_is_invalidated_is_not_served_later(bench: Bench) -> None:
    bench.provider.gate = asyncio.Event()
    first = asyncio.create_task(bench.ask("prices"))
    await bench.provider.begun.wait()
    second = asyncio.create_task(bench.ask("prices"))
    await bench.invalidate(Scope("a", tag="prices"))
    bench.provider.gate.set()
    assert await first == "1", "whoever asked before gets it"
    assert await second in {"1", "2"}, "whoever waited with it may get either"
    assert await bench.ask("prices") == "2"


async def test_marks_hold_while_the_database_is_away_and_are_removed_when_no_answer_is_as_old(bench: Bench) -> None:
    await bench.ask("prices")
    await bench.invalidate(Scope("a", tag="prices"))
    assert await cache_marks.prune(bench.database, 3600) == 0
    assert await cache_marks.prune(bench.database, -1) == 1
    away = Database("postgresql://127.0.0.1:1/none", size=1, name="away")
    await away.open()
    await bench.marks.look(away)
    await away.close()
    assert await bench.ask() == "2"
