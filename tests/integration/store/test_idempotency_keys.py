"""Idempotency keys: one object per key, whoever comes first, and nothing without the object's own commit."""

import asyncio
from typing import NoReturn
from uuid import UUID

import pytest

from penstock.errors import Conflict
from penstock.ids import new_id
from penstock.store import idempotency
from penstock.store.database import Database
from penstock.store.idempotency import IdempotencyKey, Repeated

KEY = IdempotencyKey("t", "/v1/responses", "k", b"one")
OTHERS = (
    IdempotencyKey("u", "/v1/responses", "k", b"two"),
    IdempotencyKey("t", "/v1/files", "k", b"two"),
    IdempotencyKey("t", "/v1/responses", "l", b"two"),
)


async def made(database: Database, key: IdempotencyKey) -> UUID:
    """What a request with this key comes to."""
    object_id = new_id()
    try:
        async with database.transaction() as connection:
            await idempotency.claim(connection, key, object_id)
    except Repeated as repeated:
        return repeated.object_id
    return object_id


def give_up() -> NoReturn:
    raise InterruptedError


async def test_the_first_object_stands(database: Database):
    assert await idempotency.find(database, KEY) is None
    first = await made(database, KEY)
    assert await made(database, KEY) == await idempotency.find(database, KEY) == first
    assert len({first, *[await made(database, other) for other in OTHERS]}) == 4


async def test_another_body_is_a_conflict(database: Database):
    await made(database, KEY)
    other = IdempotencyKey("t", "/v1/responses", "k", b"two")
    for asking in (made(database, other), idempotency.find(database, other)):
        with pytest.raises(Conflict) as caught:
            await asking
        assert (caught.value.code, caught.value.hopeless) == ("idempotency_conflict", True)


async def test_many_at_once_come_to_one(database: Database):
    assert len(set(await asyncio.gather(*[made(database, KEY) for _ in range(20)]))) == 1


@pytest.mark.parametrize("commits", [True, False])
async def test_the_second_waits_for_the_first(database: Database, commits: bool):
    """It gets the first's object where that was committed, and is the first itself where it was not."""
    first = new_id()
    try:
        async with database.transaction() as connection:
            await idempotency.claim(connection, KEY, first)
            waiting = asyncio.create_task(made(database, KEY))
            while not await database.fetch("SELECT 1 FROM pg_locks WHERE NOT granted AND locktype = 'transactionid'"):
                assert not waiting.done(), "it did not wait"
                await asyncio.sleep(0.01)
            if not commits:
                give_up()
    except InterruptedError:
        assert not commits
    assert (await waiting == first) == commits


async def test_old_keys_are_forgotten_some_at_a_time(database: Database, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(idempotency, "_PRUNE", 3)
    for number in range(7):
        await made(database, IdempotencyKey("t", "/v1/responses", f"old-{number}", b""))
    await database.execute("UPDATE idempotency_keys SET created_at = now() - interval '49 hours'")
    kept = await made(database, KEY)
    await database.execute("UPDATE idempotency_keys SET created_at = now() - interval '25 hours' WHERE key = 'k'")
    assert [await idempotency.prune(database) for _ in range(4)] == [3, 3, 1, 0]
    assert await idempotency.find(database, KEY) == kept
