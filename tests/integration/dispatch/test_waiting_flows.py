"""What a dispatcher knows of the flows that wait, beside transactions that others have open."""

import asyncio
from uuid import UUID

import pytest

from penstock.store import flows, tenants
from penstock.store.database import Database
from workers import waiting
from workers.waiting import WaitingFlows

LINE = ("m", "bulk")
FIRST = UUID(int=1)


@pytest.fixture
async def known(database: Database) -> WaitingFlows:
    found = WaitingFlows(database)
    await found.refresh()
    return found


async def flow_of(database: Database, tenant: str, tier: str = "unlimited") -> int:
    await tenants.ensure_tenants(database, {tenant: tier})
    return await flows.ensure(database, "m", "bulk", tenant)


async def wake(database: Database, flow_id: int) -> None:
    async with database.transaction() as connection:
        await flows.wake(connection, {flow_id: (0, FIRST)})


def names(known: WaitingFlows) -> list[str]:
    drawn = known.draw(LINE, 100)
    known.put_back(drawn)
    return [flow.tenant_id for flow in drawn]


async def test_who_commits_late_is_not_missed(database: Database, known: WaitingFlows):
    """Its transaction began before others that were seen already."""
    late, early = await flow_of(database, "late"), await flow_of(database, "early")
    async with database.transaction() as connection:
        await flows.wake(connection, {late: (0, FIRST)})
        await wake(database, early)
        await known.refresh()
        assert names(known) == ["early"]
    await known.refresh()
    assert sorted(names(known)) == ["early", "late"]


async def test_only_what_changed_is_read_again(database: Database, known: WaitingFlows):
    ids = [await flow_of(database, f"t{number}") for number in range(5)]
    for flow_id in ids:
        await wake(database, flow_id)
    await known.refresh()
    assert len(names(known)) == 5
    await wake(database, ids[3])
    _, since = await flows.woken(database)
    async with asyncio.timeout(60):  # until what others have open on this server has ended
        while (await flows.woken(database, since))[0]:
            _, since = await flows.woken(database)
    await wake(database, ids[3])
    found, _ = await flows.woken(database, since)
    assert [flow.id for flow in found] == [ids[3]]


async def test_flows_that_were_loaded_from_another_cluster_are_seen_when_all_are_read(
    database: Database, known: WaitingFlows, monkeypatch: pytest.MonkeyPatch
):
    await wake(database, await flow_of(database, "woken"))
    await known.refresh()
    await wake(database, await flow_of(database, "loaded"))
    await database.execute("UPDATE flows SET woken_by = '9000000000000' WHERE tenant_id = 'loaded'")
    await known.refresh()
    assert names(known) == ["woken"]
    monkeypatch.setattr(waiting, "_WHOLE_SECONDS", 0.0)
    await known.refresh()
    assert sorted(names(known)) == ["loaded", "woken"]


async def test_a_flow_that_was_emptied_is_there_again_when_it_is_woken(database: Database, known: WaitingFlows):
    flow_id = await flow_of(database, "team")
    await wake(database, flow_id)
    await known.refresh()
    (flow,) = known.draw(LINE, 10)
    known.emptied(flow)
    await known.refresh()
    assert names(known) == []
    await wake(database, flow_id)
    await known.refresh()
    assert names(known) == ["team"]


async def test_a_flow_that_rests_is_drawn_when_it_has_rested(database: Database, known: WaitingFlows):
    for tenant in ("dry", "other"):
        await wake(database, await flow_of(database, tenant))
    await known.refresh()
    drawn = known.draw(LINE, 10)
    known.rest(next(flow for flow in drawn if flow.tenant_id == "dry"), 3600)
    known.put_back(drawn)
    await known.refresh()
    assert names(known) == ["other"]
    known.rest(next(flow for flow in drawn if flow.tenant_id == "dry"), -1)
    await known.refresh()
    assert sorted(names(known)) == ["dry", "other"]


async def test_another_tier_and_what_another_dispatcher_emptied_are_learnt(
    database: Database, known: WaitingFlows, monkeypatch: pytest.MonkeyPatch
):
    """No transaction woke these flows: every flow is read again now and then."""
    await wake(database, await flow_of(database, "promoted"))
    await wake(database, await flow_of(database, "served"))
    await known.refresh()
    await tenants.ensure_tenants(database, {"promoted": "gold"})
    await database.execute("UPDATE flows SET active = false WHERE tenant_id = 'served'")
    await known.refresh()
    assert len(names(known)) == 2
    monkeypatch.setattr(waiting, "_WHOLE_SECONDS", 0.0)
    await known.refresh()
    drawn = known.draw(LINE, 10)
    assert [(flow.tenant_id, flow.tier) for flow in drawn] == [("promoted", "gold")]
