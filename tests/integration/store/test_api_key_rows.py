"""API keys in the database: what is kept, when a key is good, and how one takes the place of another."""

import asyncio
from datetime import timedelta

import pytest

from penstock.ids import new_id
from penstock.rules.api_keys import digest, new_key, pepper
from penstock.store import api_keys, tenants
from penstock.store.api_keys import ApiKey
from penstock.store.database import Database

PEPPER = pepper("p" * 32)


async def made(database: Database, key: str, tenant: str = "t", days: int | None = None) -> ApiKey:
    await tenants.insert(database, tenant, "unlimited")
    return await api_keys.insert(
        database,
        tenant_id=tenant,
        name="n",
        scopes=["read"],
        digest=digest(key, PEPPER),
        hint="…",
        expires_in_days=days,
    )


async def good(database: Database, key: str) -> bool:
    return await api_keys.find(database, [digest(key, PEPPER)]) is not None


async def test_a_key_is_found_by_its_digest_under_the_right_pepper_only(database: Database):
    key = new_key()
    row = await made(database, key)
    found = await api_keys.find(database, [digest(key, pepper("q" * 32)), digest(key, PEPPER)])
    assert found is not None
    assert (found.id, found.tenant_id, found.tier, found.scopes) == (row.id, "t", "unlimited", ["read"])
    assert found.digest == digest(key, PEPPER)
    assert await api_keys.find(database, [digest(key, pepper("q" * 32))]) is None
    assert await api_keys.find(database, []) is None


async def test_where_the_data_of_a_key_stays_is_kept_when_it_is_replaced(database: Database):
    old, new = new_key(), new_key()
    await tenants.insert(database, "t", "unlimited")
    row = await api_keys.insert(
        database, tenant_id="t", name="n", scopes=["read"], digest=digest(old, PEPPER), hint="…",
        expires_in_days=None, residency="eu",
    )  # fmt: skip
    made = await api_keys.rotate(database, row.id, digest(new, PEPPER), "…", keep_seconds=0)
    assert made is not None
    found = await api_keys.find(database, [digest(new, PEPPER)])
    assert found is not None
    assert (row.residency, made.residency, found.residency) == ("eu", "eu", "eu")


async def test_an_expired_or_revoked_key_is_no_key(database: Database):
    lasting, short, revoked = new_key(), new_key(), new_key()
    await made(database, lasting)
    row = await made(database, short, days=1)
    assert row.expires_at is not None
    assert timedelta(hours=23) < row.expires_at - row.created_at <= timedelta(hours=25)
    gone = await made(database, revoked)
    assert await good(database, short)
    await database.execute("UPDATE api_keys SET expires_at = now() WHERE id = %(id)s", {"id": row.id})
    assert (await api_keys.revoke(database, gone.id), await api_keys.revoke(database, gone.id)) == (True, False)
    assert [await good(database, key) for key in (lasting, short, revoked)] == [True, False, False]
    tenant = await tenants.get(database, "t")
    assert tenant is not None
    assert tenant.keys == 1


@pytest.mark.parametrize("keep", [0.0, 3600.0])
async def test_a_rotated_key_hands_on_what_it_had(database: Database, keep: float):
    old, new = new_key(), new_key()
    first = await made(database, old, days=30)
    await tenants.ensure_tenants(database, {"t": "pro"})
    second = await api_keys.rotate(database, first.id, digest(new, PEPPER), "…new", keep_seconds=keep)
    assert second is not None
    assert second.expires_at is not None
    assert (second.tenant_id, second.tier, second.name, second.scopes, second.hint) == (
        "t",
        "pro",
        "n",
        ["read"],
        "…new",
    )
    assert abs(second.expires_at - second.created_at - timedelta(days=30)) < timedelta(hours=2)
    assert (await good(database, old), await good(database, new)) == (keep > 0, True)
    left = {row.id: row for row in await api_keys.page(database, None, None, 10)}[first.id]
    assert left.expires_at is not None
    assert left.expires_at - second.created_at <= timedelta(seconds=keep)


async def test_only_one_of_many_rotations_makes_a_key(database: Database):
    row = await made(database, new_key())
    tries = [api_keys.rotate(database, row.id, digest(new_key(), PEPPER), "…", keep_seconds=0) for _ in range(10)]
    assert len([one for one in await asyncio.gather(*tries) if one is not None]) == 1
    assert await api_keys.rotate(database, new_id(), b"x", "…", keep_seconds=0) is None


async def test_pages_of_keys_and_tenants(database: Database):
    for tenant in ("a", "b", "a"):
        await made(database, new_key(), tenant)
    rows = await api_keys.page(database, None, None, 10)
    assert [row.tenant_id for row in rows] == ["a", "b", "a"]
    assert await api_keys.page(database, None, rows[0].id, 1) == rows[1:2]
    assert await api_keys.page(database, "a", None, 10) == [rows[0], rows[2]]
    assert [(tenant.id, tenant.keys) for tenant in await tenants.page(database, None, 10)] == [("a", 2), ("b", 1)]
    assert [tenant.id for tenant in await tenants.page(database, "a", 10)] == ["b"]
    assert await tenants.insert(database, "a", "pro") is False
    assert await tenants.get(database, "c") is None


async def test_no_row_holds_a_key(database: Database):
    key = new_key()
    await made(database, key)
    (row,) = await database.fetch("SELECT row_to_json(api_keys)::text AS said FROM api_keys")
    assert key not in row["said"]
    assert key[-20:] not in row["said"]
