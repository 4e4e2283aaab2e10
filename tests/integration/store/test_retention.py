"""What is removed by age: all of it, nothing else, and never in anybody's way."""

from dataclasses import replace
from datetime import UTC, datetime
from uuid import UUID

import pytest
from test_jobs import add_jobs, content, done, make_batch, take
from test_live_results import FAILURE

from penstock.errors import NotFound
from penstock.ids import new_id
from penstock.store import batches, files, jobs, retention, tenants, uploads
from penstock.store.batches import Batch
from penstock.store.database import Database
from penstock.store.files import File
from penstock.store.finish import Attempt, finish
from penstock.submission.finalize import finalize_batch
from penstock.submission.results import file_content

DAY = 24 * 3600.0


async def upload(database: Database) -> File:
    await tenants.ensure_tenants(database, {"team": "unlimited"})
    return await files.insert(
        database, tenant_id="team", purpose="batch", filename="f", content=content(), expires_seconds=None, max_bytes=99
    )


async def count(database: Database, table: str) -> int:
    row = await database.fetch_one(f"SELECT count(*)::int AS n FROM {table}")
    assert row is not None
    return int(row["n"])


async def age(database: Database, table: str, column: str, hours: float) -> None:
    """So many hours pass."""
    await database.execute(f"UPDATE {table} SET {column} = {column} - make_interval(secs => {hours * 3600})")


async def ended_batch(database: Database, lines: int, attempts: int = 0) -> Batch:
    batch = await make_batch(database, lines)
    ids = await add_jobs(database, lines, batch)
    await take(database, lines)
    worker = new_id()
    await jobs.claim(database, worker, "model-a", "bulk", ids)
    ended = [done(i, 1, "failed", status_code=500, body=FAILURE) for i in ids]
    await finish(database, worker, ended, [replace(attempt(ids[0]), step=step) for step in range(attempts)])
    await database.execute("UPDATE batches SET ingested_to = total")
    assert await finalize_batch(database, batch.id)
    found = await batches.get(database, batch.id)
    assert found is not None
    assert found.status == "completed"
    return found


def attempt(job_id: UUID) -> Attempt:
    return Attempt(
        job_id=job_id, epoch=1, step=0, deployment="model-a", started_at=datetime.now(UTC), outcome="answered",
        latency_ms=1,
    )  # fmt: skip


async def ended_jobs(database: Database, number: int) -> list[UUID]:
    ids = await add_jobs(database, number)
    await take(database, number)
    worker = new_id()
    await jobs.claim(database, worker, "model-a", "bulk", ids)
    await finish(database, worker, [done(i, 1) for i in ids], [attempt(i) for i in ids])
    return ids


async def test_the_bytes_of_a_deleted_file_go_after_a_while(database: Database):
    gone, kept = await upload(database), await upload(database)
    assert await files.delete(database, "team", gone.id)
    assert await retention.prune_files(database, 10) == 0
    await age(database, "files", "deleted_at", 2)
    assert await retention.prune_files(database, 10) == 2
    assert await retention.prune_files(database, 10) == 0
    assert await count(database, "file_chunks") == 1
    assert [chunk async for chunk in file_content(database, kept)] == [b"{}\n"]
    found = await files.get(database, "team", gone.id, gone=True)
    assert found is not None
    assert found.gone == "it was deleted"


async def test_many_chunks_go_a_few_at_a_time(database: Database):
    file = await upload(database)
    await database.execute(
        "INSERT INTO file_chunks SELECT file_id, g, data FROM file_chunks, generate_series(1, 6) g WHERE seq = 0"
    )
    await files.delete(database, "team", file.id)
    await age(database, "files", "deleted_at", 2)
    touched = [await retention.prune_files(database, 3) for _ in range(4)]
    assert touched == [3, 3, 2, 0]


async def test_an_input_stays_until_its_batch_has_read_it(database: Database):
    batch = await make_batch(database, 3)
    await files.delete(database, "team", batch.input_file_id)
    await age(database, "files", "deleted_at", 2)
    assert await retention.prune_files(database, 10) == 0
    await database.execute("UPDATE batches SET ingested_to = total")
    assert await retention.prune_files(database, 10) == 2
    assert await count(database, "file_chunks") == 0


async def test_a_batch_goes_when_its_result_files_have_expired(database: Database):
    """Lines go in pages; the batch's own row and its attempts stay: they say what it cost."""
    batch = await ended_batch(database, 5, attempts=2)
    other = await ended_batch(database, 2)
    await database.execute(
        "UPDATE files SET expires_at = now() - interval '2 hours' WHERE id = %(id)s", {"id": batch.error_file_id}
    )
    assert await retention.purge_lines(database, 2) == 0
    assert await retention.prune_files(database, 10) == 1
    assert await retention.purge_lines(database, 2) == 0, "who reads may finish"
    await age(database, "batches", "results_gone_at", 2)
    assert [await retention.purge_lines(database, 2) for _ in range(4)] == [2, 2, 1, 0]
    for table in ("jobs", "job_requests", "job_results"):
        assert await count(database, table) == other.total
    assert await count(database, "attempts") == 2
    found = await batches.get(database, batch.id)
    assert found is not None
    assert (found.status, found.total, found.failed) == ("completed", 5, 5)


async def test_an_old_batch_goes_with_its_result_files(database: Database):
    batch = await ended_batch(database, 1)
    assert await retention.free_batches(database, DAY, 10) == 0
    for column in ("created_at", "completed_at"):
        await age(database, "batches", column, 25)
    assert await retention.free_batches(database, DAY, 10) == 1
    assert await retention.free_batches(database, DAY, 10) == 0
    assert batch.error_file_id is not None
    assert await files.get(database, "team", batch.error_file_id) is None
    found = await files.get(database, "team", batch.error_file_id, gone=True)
    assert found is not None
    assert found.gone == "it was removed because of its age"


async def test_what_a_file_says_of_its_expiry_is_kept(database: Database):
    batch = await ended_batch(database, 1)
    for column in ("created_at", "completed_at"):
        await age(database, "batches", column, 25)
    await database.execute(
        "UPDATE files SET expires_at = now() + interval '1 hour' WHERE id = %(id)s", {"id": batch.error_file_id}
    )
    assert await retention.free_batches(database, DAY, 10) == 0


async def test_a_file_removed_while_it_is_read_does_not_look_whole(database: Database):
    batch = await ended_batch(database, 2)
    assert batch.error_file_id is not None
    results = await files.get(database, "team", batch.error_file_id)
    stored = await upload(database)
    assert results is not None
    assert len(b"".join([page async for page in file_content(database, results)]).splitlines()) == 2
    await database.execute("DELETE FROM jobs WHERE line = 2")
    await database.execute("DELETE FROM file_chunks")
    for file in (results, stored):
        with pytest.raises(NotFound):
            _ = [page async for page in file_content(database, file)]


async def test_payloads_of_single_jobs_go_by_age_and_their_rows_later(database: Database):
    old = await ended_jobs(database, 3)
    await age(database, "jobs", "finished_at", 25)
    await age(database, "attempts", "started_at", 25)
    young = await ended_jobs(database, 1)
    await add_jobs(database, 1)
    assert [await retention.prune_jobs(database, DAY, 2) for _ in range(3)] == [2, 1, 0]
    with pytest.raises(NotFound, match="because of its age"):
        await jobs.load(database, "team", old[0])
    row = await jobs.load(database, "team", young[0])
    assert row is not None
    assert row.result is not None
    assert (await count(database, "jobs"), await count(database, "job_requests")) == (5, 2)
    assert await retention.forget_jobs(database, 2 * DAY, 10) == 0
    assert await retention.forget_attempts(database, 2 * DAY, 10) == 0
    await age(database, "jobs", "finished_at", 24)
    await age(database, "attempts", "started_at", 24)
    assert [await retention.forget_jobs(database, 2 * DAY, 2) for _ in range(3)] == [2, 1, 0]
    assert [await retention.forget_attempts(database, 2 * DAY, 2) for _ in range(3)] == [2, 1, 0]
    assert (await count(database, "jobs"), await count(database, "attempts")) == (2, 1)


async def test_payloads_of_deleted_jobs_go_soon(database: Database):
    ids = await ended_jobs(database, 2)
    await jobs.delete(database, "team", ids[0])
    assert await retention.prune_deleted_jobs(database, 10) == 0
    await age(database, "jobs", "deleted_at", 2)
    assert await retention.prune_deleted_jobs(database, 10) == 1
    assert await count(database, "job_results") == 1


async def test_pruning_waits_for_nobody_and_holds_nobody_up(database: Database):
    """A row that somebody holds is left for the next time; claims go on while a pruning transaction is open."""
    held, *free = await ended_jobs(database, 3)
    await age(database, "jobs", "finished_at", 25)
    waiting = await add_jobs(database, 2)
    async with database.transaction() as connection:
        await connection.execute("SELECT FROM jobs WHERE id = %(id)s FOR UPDATE", {"id": held})
        await database.execute("SET lock_timeout = '1ms'")
        assert await retention.prune_jobs(database, DAY, 10) == len(free)
        assert sorted(await take(database, 2)) == sorted(waiting)
    assert await retention.prune_jobs(database, DAY, 10) == 1


async def test_parts_nobody_completes_go(database: Database):
    await tenants.ensure_tenants(database, {"team": "unlimited"})

    async def begin() -> uploads.Upload:
        upload = await uploads.create(
            database, tenant_id="team", filename="f", purpose="batch", size=6, file_expires_seconds=None
        )
        for _ in range(2):
            await uploads.add_part(database, upload, content(), 99)
        return upload

    given_up, forgotten, waiting = await begin(), await begin(), await begin()
    await uploads.cancel(database, given_up)
    await database.execute(
        "UPDATE uploads SET expires_at = now() - interval '1 hour' WHERE id = %(id)s", {"id": forgotten.id}
    )
    found = await uploads.get(database, "team", forgotten.id)
    assert found is not None
    assert found.status == "expired"
    assert [await uploads.prune(database, 3) for _ in range(3)] == [3, 5, 0]
    assert await count(database, "file_chunks") == await count(database, "upload_parts") == 2
    found = await uploads.get(database, "team", waiting.id)
    assert found is not None
    assert found.status == "pending"
