"""The statements of the outbox, where a race decides."""

import asyncio
from typing import TYPE_CHECKING

import pytest

from penstock.errors import Unstorable
from penstock.store import webhooks as store
from penstock.store.database import Database
from penstock.store.webhooks import Delivery, NewEvent, Subscription

if TYPE_CHECKING:
    from tests.integration.webhooks.conftest import Outbox

ALL = [Subscription("one", None, None)]


async def lease(database: Database, slots: int = 10, seconds: float = 60) -> list[Delivery]:
    return await store.lease_due(database, {"one": slots}, lease_seconds=seconds)


async def until_somebody_waits(database: Database) -> None:
    query = "SELECT 1 FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'"
    async with asyncio.timeout(60):
        while not await database.fetch(query):
            await asyncio.sleep(0.02)


async def test_events_of_a_transaction_that_failed_do_not_exist(database: Database) -> None:
    async def fail() -> None:
        async with database.transaction() as connection:
            await store.insert_events(connection, [NewEvent("batch_1", "batch.completed", "a")])
            await connection.execute("SELECT 1 / 0")

    with pytest.raises(Unstorable):
        await fail()
    assert await store.fan_out(database, ALL, limit=10) == 0


async def test_one_event_per_object_and_type(database: Database) -> None:
    async with database.transaction() as connection:
        rows = [NewEvent("batch_1", "batch.completed", "a"), NewEvent("batch_1", "batch.failed", "a")]
        assert await store.insert_events(connection, rows) == 2
        assert await store.insert_events(connection, rows) == 0
        assert await store.insert_events(connection, []) == 0


async def test_events_are_inserted_in_one_order(database: Database) -> None:
    """Whoever waits for `batch_b` must not hold `batch_c` yet, or two transactions could wait for each other."""
    b, c = (NewEvent(f"batch_{letter}", "batch.completed", "a") for letter in "bc")

    async def insert(*events: NewEvent) -> int:
        async with database.transaction() as connection:
            return await store.insert_events(connection, events)

    async with database.transaction() as holder:
        await store.insert_events(holder, [b])
        both = asyncio.create_task(insert(c, b))
        await until_somebody_waits(database)
        async with asyncio.timeout(60):
            assert await insert(c) == 1
    assert await both == 0


async def test_fan_out_takes_what_others_do_not_hold(database: Database, outbox: "Outbox") -> None:
    await outbox.add("batch_1", "batch_2")
    async with database.transaction() as connection:
        await connection.execute("SELECT 1 FROM webhook_events WHERE object_id = 'batch_1' FOR UPDATE")
        assert await store.fan_out(database, ALL, limit=10) == 1
    assert await store.fan_out(database, ALL, limit=10) == 1
    assert len(await outbox.deliveries()) == 2


async def test_fan_out_without_endpoints_uses_the_events_up(database: Database, outbox: "Outbox") -> None:
    """An endpoint hears what happens after it was configured, not the past."""
    await outbox.add("batch_1")
    assert await store.fan_out(database, [], limit=10) == 1
    assert await store.fan_out(database, ALL, limit=10) == 0


async def test_an_endpoint_that_wants_an_event_twice_gets_one_delivery(database: Database, outbox: "Outbox") -> None:
    await outbox.add("batch_1")
    twice = [*ALL, Subscription("one", "default", "batch.completed")]
    assert await store.fan_out(database, twice, limit=10) == 1
    assert len(await outbox.deliveries()) == 1


async def test_a_lease_takes_at_most_the_slots_of_each_endpoint(database: Database, outbox: "Outbox") -> None:
    await outbox.add("batch_1", "batch_2", "batch_3")
    await store.fan_out(database, [*ALL, Subscription("two", None, None)], limit=10)
    leased = await store.lease_due(database, {"one": 2, "two": 1}, lease_seconds=60)
    assert sorted(row.endpoint for row in leased) == ["one", "one", "two"]
    assert [row.endpoint for row in await lease(database)] == ["one"]


async def test_a_lease_passes_over_what_another_is_leasing(database: Database, outbox: "Outbox") -> None:
    await outbox.add("batch_1", "batch_2")
    await store.fan_out(database, ALL, limit=10)
    async with database.transaction() as connection:
        await connection.execute(
            "UPDATE webhook_deliveries SET next_at = now() + interval '1 hour'"
            " FROM webhook_events e WHERE e.id = event_id AND object_id = 'batch_1'"
        )
        async with asyncio.timeout(60):
            assert [row.object_id for row in await lease(database)] == ["batch_2"]


async def test_a_lease_that_ran_out_is_leased_again(database: Database, outbox: "Outbox") -> None:
    await outbox.add("batch_1")
    await store.fan_out(database, ALL, limit=10)
    (first,) = await lease(database, seconds=0)
    (second,) = await lease(database)
    assert (first.attempts, second.attempts) == (1, 2)


async def test_a_failure_from_an_old_lease_changes_nothing(database: Database, outbox: "Outbox") -> None:
    await outbox.add("batch_1")
    await store.fan_out(database, ALL, limit=10)
    (old,) = await lease(database, seconds=0)
    await lease(database)
    await store.mark_retry(database, old, delay=0, status=500, error="late")
    await store.give_up(database, old, status=500, error="late")
    (row,) = await outbox.deliveries()
    assert (row["later"], row["gave_up_at"], row["last_error"]) == (True, None, None)


async def test_a_success_from_an_old_lease_counts(database: Database, outbox: "Outbox") -> None:
    await outbox.add("batch_1")
    await store.fan_out(database, ALL, limit=10)
    (old,) = await lease(database, seconds=0)
    (new,) = await lease(database, seconds=0)
    await store.mark_delivered(database, old, status=204)
    await store.mark_retry(database, new, delay=0, status=500, error="late")
    (row,) = await outbox.deliveries()
    assert (row["last_status"], row["last_error"]) == (204, None)
    assert await lease(database) == []
