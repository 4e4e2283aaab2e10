"""Who is served when many want the same quota: the real dispatcher over the real store, its queue served in order."""

from collections import Counter
from collections.abc import AsyncIterator, Callable, Sequence
from uuid import UUID

import pytest

from penstock.broker import Doorbell, make_app
from penstock.configuration import Config
from penstock.ids import new_ids
from penstock.limits.quota import Quota
from penstock.limits.truth import SpentBy
from penstock.providers.deployments import Deployments
from penstock.redis import Redis
from penstock.routing.router import Router
from penstock.store import flows, jobs, tenants
from penstock.store.database import Database
from penstock.store.jobs import NewJob
from workers.dispatcher import Dispatcher

#: jobs that may be in the queue at one moment
WINDOW = 40
CONFIG = Config.model_validate(
    {
        "providers": {
            "p": {"wire_format": "openai", "base_url": "http://127.0.0.1/v1", "limits": {"concurrency": WINDOW}}
        },
        "models": {"m": {"provider": "p"}},
        "tiers": {"double": {"weight": 2}},
        "tenants": {"heavy": {"weight": 3}},
    }
)


class Queue(Doorbell):
    """A broker whose messages are kept in the order in which they were sent."""

    def __init__(self) -> None:
        super().__init__(make_app("memory://", ["p"]))
        self.waiting: list[UUID] = []

    async def ring(self, _lane: str, _provider: str, _deployment: str, ids: Sequence[UUID]) -> None:
        self.waiting += ids


class Service:
    """The dispatcher, and workers that end the queue's first jobs."""

    def __init__(self, database: Database, redis: Redis) -> None:
        self.database = database
        self.redis = redis
        self.queue = Queue()
        self.quota = Quota(redis, SpentBy(database, []))
        self.owners: dict[UUID, str] = {}
        self.tokens: dict[UUID, int] = {}
        self.served: list[UUID] = []
        self.lead()

    def lead(self) -> None:
        """Another process leads from now on."""
        self.dispatcher = Dispatcher(self.database, self.queue, self.quota, Router(CONFIG, Deployments(CONFIG)))

    async def add(self, tenant: str, count: int, tokens: int = 100, priority: int = 0, tier: str = "") -> list[UUID]:
        await tenants.ensure_tenants(self.database, {tenant: tier or "unlimited"})
        flow_id = await flows.ensure(self.database, "m", "bulk", tenant)
        rows = [
            NewJob(
                id=job_id, tenant_id=tenant, dialect="job", model="m", lane="bulk", flow_id=flow_id, deployment="m",
                tokens=tokens, body=b"{}", priority=priority,
            )
            for job_id in new_ids(count)
        ]  # fmt: skip
        async with self.database.transaction() as connection:
            await jobs.copy(connection, rows)
            await flows.wake(connection, {flow_id: (priority, rows[0].id)})
        ids = [row.id for row in rows]
        self.owners |= dict.fromkeys(ids, tenant)
        self.tokens |= dict.fromkeys(ids, tokens)
        return ids

    async def serve(self, count: int, until: Callable[[], bool] = lambda: False) -> None:
        """End about `count` jobs, ten at a time."""
        for _ in range(0, count, 10):
            await self.dispatcher.dispatch()
            done, self.queue.waiting = self.queue.waiting[:10], self.queue.waiting[10:]
            await self.database.execute("UPDATE jobs SET state = 'succeeded' WHERE id = ANY(%(ids)s)", {"ids": done})
            self.served += done
            if until():
                return

    def shares(self, since: int = 0) -> Counter[str]:
        """Tokens each tenant was served."""
        found: Counter[str] = Counter()
        for job_id in self.served[since:]:
            found[self.owners[job_id]] += self.tokens[job_id]
        return found


@pytest.fixture
async def service(database: Database, redis: Redis) -> AsyncIterator[Service]:
    found = Service(database, redis)
    yield found
    await found.quota.close()
    found.queue.close()


async def test_twenty_thousand_jobs_do_not_delay_ten(service: Service):
    await service.add("crowd", 20_000)
    await service.serve(200)
    mine = set(await service.add("few", 10))
    before = len(service.served)
    await service.serve(1000, lambda: mine <= set(service.served))
    # what was in the queue before, and turn by turn with the crowd after that
    assert mine <= set(service.served)
    assert len(service.served) - before <= WINDOW + 2 * 10 + 10


async def test_tokens_go_by_weight_however_long_the_jobs_are(service: Service):
    """A tenant's own weight goes before its tier's; the lengths of jobs are not what is shared."""
    await service.add("light", 900, tokens=200)
    await service.add("tiered", 900, tokens=100, tier="double")
    await service.add("heavy", 900, tokens=400)
    await service.serve(700)
    got = service.shares()
    whole = sum(got.values())
    assert {tenant: got[tenant] / whole for tenant in got} == {
        "light": pytest.approx(1 / 6, rel=0.12),
        "tiered": pytest.approx(2 / 6, rel=0.12),
        "heavy": pytest.approx(3 / 6, rel=0.12),
    }


async def test_within_a_tenant_the_lowest_priority_goes_first_then_the_oldest(service: Service):
    later = await service.add("team", 90, priority=5)
    plain = await service.add("team", 30)
    first = await service.add("team", 30, priority=-5)
    await service.serve(60)
    # what comes while others are served goes before all that is not in the queue yet
    urgent = await service.add("team", 5, priority=-9)
    sent = len(service.served) + len(service.queue.waiting) - 60
    await service.serve(100)
    assert service.served == first + plain + later[:sent] + urgent + later[sent:]


async def test_whoever_was_idle_brings_no_credit_also_not_to_a_new_leader(service: Service):
    await service.add("idle", 10)
    await service.add("crowd", 3000)
    await service.serve(1000)
    service.lead()
    await service.dispatcher.take_over()
    await service.add("idle", 1000)
    since = len(service.served) + len(service.queue.waiting)
    await service.serve(600)
    got = service.shares(since)
    assert got["idle"] == pytest.approx(got["crowd"], rel=0.15)
