"""Forecasts over the real store and the real buckets: who ends when, who is late, who goes first."""

from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import datetime
from uuid import UUID

import pytest

from penstock.configuration import Config
from penstock.ids import new_id, new_ids
from penstock.limits.buckets import DeploymentLimits, Tokens
from penstock.limits.quota import Quota, Reservation
from penstock.limits.truth import SpentBy
from penstock.redis import Redis
from penstock.store import batches, flows, jobs, tenants
from penstock.store.batches import Batch, NewBatch
from penstock.store.database import Database
from penstock.store.jobs import NewJob
from workers.forecasts import URGENT, Forecasts

#: a request every second, and none at hand
CONFIG = Config.model_validate(
    {
        "providers": {
            "p": {
                "wire_format": "openai",
                "base_url": "http://127.0.0.1/v1",
                "limits": {"requests_per_minute": 60, "burst_seconds": 1},
            }
        },
        "models": {"m": {"provider": "p"}},
        "tenants": {"heavy": {"weight": 3}},
        "tiers": {"slow": {"requests_per_minute": 6}},
    }
)
PER_JOB = 1.0


@pytest.fixture
async def forecasts(database: Database, redis: Redis) -> AsyncIterator[Forecasts]:
    quota = Quota(redis, SpentBy(database, []))
    yield Forecasts(database, quota, CONFIG)
    await quota.close()


async def add(
    database: Database, tenant: str, count: int, *, total: int | None = None, priority: int = 0, tier: str = "unlimited"
) -> Batch:
    """A batch of `count` lines, of which `total` are known; as if its file had been read so far."""
    await tenants.ensure_tenants(database, {tenant: tier})
    new = NewBatch(
        tenant_id=tenant,
        endpoint="/v1/chat/completions",
        input_file_id=new_id(),
        window_seconds=86400,
        priority=priority,
    )
    batch = await batches.insert(database, new)
    await batches.start(database, batch.id, total or count)
    flow_id = await flows.ensure(database, "m", "bulk", tenant)
    rows = [
        NewJob(
            id=job_id, tenant_id=tenant, dialect="openai.chat", model="m", lane="bulk", flow_id=flow_id,
            deployment="m", tokens=100, body=b"{}", batch_id=batch.id, line=line, custom_id=str(line),
            priority=priority,
        )
        for line, job_id in enumerate(new_ids(count), 1)
    ]  # fmt: skip
    async with database.transaction() as connection:
        await batches.advance_ingest(connection, batch.id, 0, count)
        await jobs.copy(connection, rows)
        await flows.wake(connection, {flow_id: (priority, rows[0].id)})
    return batch


async def closes_in(database: Database, batch: Batch, seconds: float) -> None:
    await database.execute(
        "UPDATE batches SET expires_at = now() + make_interval(secs => %(s)s) WHERE id = %(id)s",
        {"s": seconds, "id": batch.id},
    )


async def look(database: Database, forecasts: Forecasts) -> datetime:
    """Make forecasts; returns when that began."""
    row = await database.fetch_one("SELECT now() AS at")
    assert row is not None
    await forecasts.look()
    return row["at"]


async def expected(database: Database, batch: Batch, at: datetime) -> float | None:
    """Seconds from that moment to a batch's expected end."""
    row = await database.fetch_one(
        "SELECT extract(epoch FROM estimated_completion_at - %(at)s)::float8 AS s FROM batches WHERE id = %(id)s",
        {"id": batch.id, "at": at},
    )
    assert row is not None
    return row["s"]


async def late(database: Database, batch: Batch) -> bool:
    found = await batches.get(database, batch.id)
    assert found is not None
    return found.late


async def urgent(database: Database, batch_id: UUID) -> int:
    rows = await database.fetch(
        "SELECT 1 FROM jobs WHERE batch_id = %(id)s AND priority = %(p)s", {"id": batch_id, "p": URGENT}
    )
    return len(rows)


async def test_batches_of_one_tenant_end_one_after_the_other(database: Database, forecasts: Forecasts):
    one, two = await add(database, "team", 100), await add(database, "team", 50)
    first = await add(database, "team", 30, priority=-1)
    at = await look(database, forecasts)
    found = [await expected(database, batch, at) for batch in (first, one, two)]
    assert found == pytest.approx([30 * PER_JOB, 130 * PER_JOB, 180 * PER_JOB], abs=6)


async def test_tenants_share_by_weight(database: Database, forecasts: Forecasts):
    light, heavy = await add(database, "light", 300), await add(database, "heavy", 300)
    small = await add(database, "small", 10)
    at = await look(database, forecasts)
    # of 5 turns the heavy one has 3; when it is done, the light one has had 100, and the small one all
    assert await expected(database, small, at) == pytest.approx(50 * PER_JOB, abs=6)
    assert await expected(database, heavy, at) == pytest.approx((300 + 100 + 10) * PER_JOB, abs=6)
    assert await expected(database, light, at) == pytest.approx(610 * PER_JOB, abs=6)


async def test_an_open_breaker_puts_the_end_off(database: Database, redis: Redis, forecasts: Forecasts):
    batch = await add(database, "team", 50)
    quota = Quota(redis, SpentBy(database, []))
    unlimited = replace(DeploymentLimits.of(CONFIG, "m"), buckets=(), leases=())
    for _ in range(unlimited.gate.failures):
        call = await quota.reserve(unlimited, Tokens(1, 1), interactive=False)
        assert isinstance(call, Reservation)
        call.begin()
        await quota.settle(call, Tokens(1, 1), "failed")
    shut = quota.shut_for(unlimited)
    await quota.close()
    assert shut > 20
    at = await look(database, forecasts)
    assert await expected(database, batch, at) == pytest.approx(50 * PER_JOB + shut, abs=6)


async def test_lines_that_are_not_read_yet_count(database: Database, forecasts: Forecasts):
    batch = await add(database, "team", 50, total=200)
    at = await look(database, forecasts)
    assert await expected(database, batch, at) == pytest.approx(200 * PER_JOB, abs=6)


async def test_a_tier_is_a_limit_too(database: Database, forecasts: Forecasts):
    batch = await add(database, "small", 36, tier="slow")
    at = await look(database, forecasts)
    # 6 at hand, 6 a minute
    assert await expected(database, batch, at) == pytest.approx(300, abs=12)


async def test_what_cannot_meet_its_window_is_said(database: Database, forecasts: Forecasts):
    batch, other = await add(database, "team", 400), await add(database, "others", 10)
    await closes_in(database, batch, 300)
    await look(database, forecasts)
    assert (await late(database, batch), await late(database, other)) == (True, False)
    await closes_in(database, batch, 3000)
    await look(database, forecasts)
    assert not await late(database, batch)


async def test_who_would_be_late_in_its_turn_goes_first(database: Database, forecasts: Forecasts):
    """Only before its own tenant's work, only as much as may leave soon, and not where it would not help."""
    crowd, other = await add(database, "team", 1000), await add(database, "others", 1000)
    short, hopeless = await add(database, "team", 400), await add(database, "team", 400)
    await closes_in(database, short, 1500)
    await closes_in(database, hopeless, 200)
    at = await look(database, forecasts)
    assert await expected(database, short, at) == pytest.approx(800 * PER_JOB, abs=6)
    assert await expected(database, crowd, at) == pytest.approx(2000 * PER_JOB, rel=0.35)
    assert [await urgent(database, batch.id) for batch in (crowd, other, hopeless)] == [0, 0, 0]
    assert await urgent(database, short.id) == 200
    assert [await late(database, batch) for batch in (short, hopeless)] == [False, True]
    active = [flow for flow in await flows.active(database) if flow.tenant_id == "team"]
    async with database.transaction() as connection:
        taken = await flows.take(connection, "m", active, [150])
    rows = await database.fetch(
        "SELECT DISTINCT batch_id FROM jobs WHERE id = ANY(%(i)s)", {"i": [j.id for j in taken]}
    )
    assert [row["batch_id"] for row in rows] == [short.id]
    # as they leave, others follow
    at = await look(database, forecasts)
    assert await urgent(database, short.id) == 200 + 0
    await database.execute("UPDATE jobs SET state = 'succeeded' WHERE id = ANY(%(i)s)", {"i": [j.id for j in taken]})
    at = await look(database, forecasts)
    assert await urgent(database, short.id) == 350


async def test_without_limits_and_without_a_pace_nothing_is_promised(database: Database, redis: Redis):
    unlimited = Config.model_validate(
        {
            "providers": {"p": {"wire_format": "openai", "base_url": "http://127.0.0.1/v1"}},
            "models": {"m": {"provider": "p"}},
        }
    )
    quota = Quota(redis, SpentBy(database, []))
    batch = await add(database, "team", 10)
    at = await look(database, Forecasts(database, quota, unlimited))
    assert await expected(database, batch, at) is None
    await quota.close()
