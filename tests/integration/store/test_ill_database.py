"""A database that is silent, gone or read-only is one error, and the pool is well again without anybody's help."""

import asyncio
from collections.abc import AsyncIterator
from uuid import UUID

import psutil
import psycopg
import pytest
from test_jobs import add_jobs, done, make_batch, take

from penstock.errors import Unavailable
from penstock.ids import new_id
from penstock.store import database as module
from penstock.store import jobs
from penstock.store.database import Database
from workers.commit import GroupCommit


def administer(url: str, *statements: str) -> None:
    with psycopg.connect(url, autocommit=True) as connection:
        for statement in statements:
            connection.execute(statement.encode())


@pytest.fixture
async def single(database_url: str) -> AsyncIterator[Database]:
    """With one connection, so that it is known which one a statement gets."""
    opened = Database(database_url, size=1, name="single")
    await opened.open()
    yield opened
    await opened.close()


async def test_a_silent_server_is_not_waited_for(single: Database, monkeypatch: pytest.MonkeyPatch):
    """Its own timeouts do not run while it is frozen."""
    row = await single.fetch_one("SELECT pg_backend_pid() AS pid")
    assert row is not None
    monkeypatch.setattr(module, "ANSWER_SECONDS", 0.5)
    backend = psutil.Process(row["pid"])
    backend.suspend()
    try:
        with pytest.raises(Unavailable):
            await single.ping()
    finally:
        backend.resume()
    monkeypatch.undo()
    await single.ping()


async def test_one_lost_connection_costs_one_error(database: Database):
    """The idle ones were lost with it: they are not handed out one after the other."""
    await asyncio.gather(*(database.fetch("SELECT pg_sleep(0.05)") for _ in range(10)))
    administer(database.url, "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
               " WHERE application_name = 'penstock-test' AND datname = current_database()")  # fmt: skip
    with pytest.raises(Unavailable):
        await database.ping()
    for _ in range(20):
        await database.ping()


async def test_a_connection_to_a_replica_is_left(single: Database):
    """After a failover the address may mean another server: the old connection would stay with the old one."""
    name = psycopg.conninfo.conninfo_to_dict(single.url)["dbname"]
    insert = "INSERT INTO tenants (id) VALUES ('x') ON CONFLICT DO NOTHING"
    await single.ping()
    # sessions keep what they began with, as a demoted primary keeps its sessions
    administer(
        single.url,
        f"ALTER DATABASE {name} SET default_transaction_read_only = on",
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'penstock-single'",
    )
    with pytest.raises(Unavailable):
        await single.ping()
    with pytest.raises(Unavailable):
        await single.execute(insert)
    administer(
        single.url,
        "SET default_transaction_read_only = off",
        f"ALTER DATABASE {name} RESET default_transaction_read_only",
    )
    async with asyncio.timeout(30):
        while True:
            try:
                assert await single.execute(insert) == 1
                return
            except Unavailable:
                await asyncio.sleep(0.05)


async def test_group_commit_outlives_whoever_is_told(database: Database):
    """The end of a batch is somebody else's work; that it failed must not keep later jobs from being committed."""
    batch = await make_batch(database, 1)
    ids = await add_jobs(database, 1, batch) + await add_jobs(database, 1)
    await take(database, 2)
    worker = new_id()
    await jobs.claim(database, worker, "model-a", "bulk", ids)
    told: list[frozenset[UUID]] = []

    async def fail(batch_ids: frozenset[UUID]) -> None:
        told.append(batch_ids)
        raise Unavailable("away")

    commit = GroupCommit(database, worker, 0.0, fail)
    running = asyncio.create_task(commit.run())
    try:
        assert await asyncio.wait_for(commit.add(done(ids[0], 1)), 10)
        assert await asyncio.wait_for(commit.add(done(ids[1], 1)), 10)
    finally:
        running.cancel()
    assert told == [frozenset({batch.id})]
