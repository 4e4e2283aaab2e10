"""Queued work of a route that goes by speed: given away when it leaves the backlog, to whoever has room."""

from collections import defaultdict
from collections.abc import AsyncIterator, Sequence
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
from penstock.routing.speeds import Speeds
from penstock.routing.statistics import Sample
from penstock.store import flows, jobs, tenants
from penstock.store.database import Database
from penstock.store.jobs import NewJob
from workers.dispatcher import Dispatcher


def limited(places: int) -> dict[str, object]:
    return {"wire_format": "openai", "base_url": "http://127.0.0.1/v1", "limits": {"concurrency": places}}


CONFIG = Config.model_validate(
    {
        "providers": {"p": limited(10), "q": limited(30)},
        "models": {"slow": {"provider": "p"}, "quick": {"provider": "q"}},
        "routes": {"any": {"strategy": "latency", "steps": ["slow", "quick"], "explore": 0}},
    }
)


class Rung(Doorbell):
    """A broker of which is kept what it was given for each deployment."""

    def __init__(self) -> None:
        super().__init__(make_app("memory://", ["p", "q"]))
        self.given: defaultdict[str, list[UUID]] = defaultdict(list)

    async def ring(self, _lane: str, _provider: str, deployment: str, ids: Sequence[UUID]) -> None:
        self.given[deployment] += ids


class Service:
    def __init__(self, database: Database, redis: Redis) -> None:
        self.database = database
        self.rung = Rung()
        self.quota = Quota(redis, SpentBy(database, []))
        self.speeds = Speeds(redis)
        self.dispatcher = Dispatcher(database, self.rung, self.quota, Router(CONFIG, Deployments(CONFIG), self.speeds))

    async def add(self, pool: str, deployment: str, count: int) -> list[UUID]:
        await tenants.ensure_tenants(self.database, {"team": "unlimited"})
        flow_id = await flows.ensure(self.database, pool, "bulk", "team")
        others = [name for name in CONFIG.models if name != deployment]
        rows = [
            NewJob(
                id=job_id, tenant_id="team", dialect="job", model=pool, lane="bulk", flow_id=flow_id, tokens=100,
                deployment=deployment, body=b"{}", fallback=others if pool in CONFIG.routes else None,
            )
            for job_id in new_ids(count)
        ]  # fmt: skip
        async with self.database.transaction() as connection:
            await jobs.copy(connection, rows)
            await flows.wake(connection, {flow_id: (0, rows[0].id)})
        return [row.id for row in rows]

    async def known(self, **seconds: float) -> None:
        for name, each in seconds.items():
            for _ in range(10):
                self.speeds.add(name, Sample(each, 100))
        await self.speeds.flush()


@pytest.fixture
async def service(database: Database, redis: Redis) -> AsyncIterator[Service]:
    found = Service(database, redis)
    yield found
    await found.quota.close()
    found.rung.close()


async def test_the_fastest_is_filled_and_no_quota_stays_idle_beside_it(service: Service):
    await service.known(slow=9.0, quick=1.0)
    few = await service.add("any", "slow", 8)
    assert await service.dispatcher.dispatch() == 8
    assert service.rung.given == {"quick": few}
    await service.add("any", "slow", 60)
    for _ in range(3):
        await service.dispatcher.dispatch()
    assert {name: len(ids) for name, ids in service.rung.given.items()} == {"quick": 30, "slow": 10}


async def test_a_job_falls_back_to_where_it_did_not_go(service: Service):
    await service.known(slow=9.0, quick=1.0)
    (moved,) = await service.add("any", "slow", 1)
    await service.dispatcher.dispatch()
    row = await service.database.fetch_one(
        "SELECT deployment, fallback, state::text FROM jobs WHERE id = %(id)s", {"id": moved}
    )
    assert row == {"deployment": "quick", "fallback": ["slow"], "state": "queued"}


async def test_what_is_not_known_yet_is_tried_with_a_few_each(service: Service):
    await service.add("any", "slow", 100)
    await service.dispatcher.dispatch()
    assert {name: len(ids) for name, ids in service.rung.given.items()} == {"slow": 5, "quick": 5}


async def test_work_for_one_model_and_for_a_route_share_its_window(service: Service):
    await service.known(slow=9.0, quick=1.0)
    await service.add("quick", "quick", 100)
    await service.add("any", "quick", 100)
    for _ in range(3):
        await service.dispatcher.dispatch()
    assert {name: len(ids) for name, ids in service.rung.given.items()} == {"quick": 30, "slow": 10}
