"""The backlog of an ill deployment goes on elsewhere: what may, as fast as it can be taken there."""

from uuid import UUID

from penstock.configuration import Config
from penstock.ids import new_ids
from penstock.providers.deployments import Deployments
from penstock.store import flows, jobs, tenants
from penstock.store.database import Database
from penstock.store.jobs import NewJob
from workers.detours import Detours

CONFIG = Config.model_validate(
    {
        "providers": {name: {"wire_format": "openai", "base_url": f"http://127.0.0.1/{name}"} for name in "abc"},
        "models": {name: {"provider": name} for name in "abc"},
        "routes": {
            "sure": {"strategy": "fallback", "steps": ["a", "b", "c"]},
            "picky": {"strategy": "fallback", "steps": ["a", "b"], "fallback_on": ["invalid_request"]},
        },
    }
)


async def add(database: Database, count: int, model: str, fallback: list[str] | None) -> list[UUID]:
    await tenants.ensure_tenants(database, {"team": "unlimited"})
    flow_id = await flows.ensure(database, "a", "bulk", "team")
    rows = [
        NewJob(
            id=job_id,
            tenant_id="team",
            dialect="openai.chat",
            model=model,
            lane="bulk",
            flow_id=flow_id,
            deployment="a",
            tokens=10,
            body=b"{}",
            fallback=fallback,
        )
        for job_id in new_ids(count)
    ]
    async with database.transaction() as connection:
        await jobs.copy(connection, rows)
        await flows.wake(connection, {flow_id: (0, rows[0].id)})
    return [row.id for row in rows]


async def detour(database: Database, **free: int) -> int:
    async def free_at(name: str) -> int:
        return free.get(name, 0)

    members = [flow for flow in await flows.active(database) if flow.pool == "a"]
    return await Detours(database, Deployments(CONFIG)).move("a", members, free_at)


async def rows(database: Database, ids: list[UUID]) -> list[tuple[str, list[str] | None]]:
    found = await database.fetch(
        "SELECT deployment, fallback FROM jobs WHERE id = ANY(%(ids)s) AND state = 'pending' ORDER BY id", {"ids": ids}
    )
    return [(row["deployment"], row["fallback"]) for row in found]


async def test_only_what_may_leaves_and_only_as_much_as_fits(database: Database) -> None:
    alone = await add(database, 3, "a", None)
    picky = await add(database, 3, "picky", ["b"])
    sure = await add(database, 6, "sure", ["b", "c"])
    assert await detour(database, b=2, c=1) == 3
    assert await rows(database, sure) == [("b", ["c"])] * 2 + [("c", ["b"])] + [("a", ["b", "c"])] * 3
    assert await rows(database, alone) == [("a", None)] * 3
    assert await rows(database, picky) == [("a", ["b"])] * 3
    assert await detour(database) == 0
    assert await detour(database, b=99) == 3


async def test_what_was_moved_is_found_where_it_went(database: Database) -> None:
    ids = await add(database, 4, "sure", ["b"])
    assert await detour(database, b=9) == 4
    assert await rows(database, ids) == [("b", None)] * 4
    there = [flow for flow in await flows.active(database) if flow.pool == "b"]
    async with database.transaction() as connection:
        taken = await flows.take(connection, "b", there, [9])
    assert [job.id for job in taken] == ids


async def test_jobs_that_somebody_takes_at_the_moment_are_left_alone(database: Database) -> None:
    ids = await add(database, 6, "sure", ["b"])
    here = await flows.active(database)
    async with database.transaction() as connection:
        taken = await flows.take(connection, "a", here, [4])
        assert await detour(database, b=9) == 2
    assert {job.id for job in taken} == set(ids[:4])
