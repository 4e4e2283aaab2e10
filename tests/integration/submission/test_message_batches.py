"""Message batches in Postgres: stored whole or not at all, read once, counted once, hidden from the other interface."""

import asyncio
import json
from collections.abc import AsyncIterator
from typing import Any

import pytest
from line_walk import end_lines

from api.anthropic.batches import request_counts
from penstock.completion.outcome import Outcome
from penstock.configuration import BatchesConfig, Config
from penstock.errors import InvalidRequest, NotFound
from penstock.ids import new_id
from penstock.providers.deployments import Deployments
from penstock.redis import Redis
from penstock.routing.router import Router
from penstock.store import batches, files, jobs, message_batches, retention, stops, tenants
from penstock.store.batches import Batch, NewBatch
from penstock.store.database import Database
from penstock.submission import finalize, ingest
from penstock.submission.ingest import Ingest
from penstock.submission.message_batches import create, results

CONFIG = Config.model_validate(
    {
        "providers": {"p": {"wire_format": "openai", "base_url": "http://127.0.0.1:9"}},
        "models": {"m": {"provider": "p"}},
    }
)
LIMITS = BatchesConfig()


def one(custom_id: str, model: str = "m", **params: Any) -> dict[str, Any]:
    message = {"role": "user", "content": "Hi"}
    return {"custom_id": custom_id, "params": {"model": model, "max_tokens": 5, "messages": [message]} | params}


async def body(requests: list[dict[str, Any]]) -> AsyncIterator[bytes]:
    data = json.dumps({"requests": requests}).encode()
    for start in range(0, len(data), 1000):
        yield data[start : start + 1000]


@pytest.fixture
async def tenant(database: Database) -> str:
    await tenants.ensure_tenants(database, {"team": "unlimited", "other": "unlimited"})
    return "team"


@pytest.fixture
def reader(database: Database, redis: Redis, monkeypatch: pytest.MonkeyPatch) -> Ingest:
    """Reads three lines a transaction."""
    monkeypatch.setattr(ingest, "PAGE", 3)
    return Ingest(database, redis, Router(CONFIG, Deployments(CONFIG)))


async def reload(database: Database, batch: Batch) -> Batch:
    found = await message_batches.get(database, batch.tenant_id, batch.id)
    assert found is not None
    return found


async def lines_of(database: Database, batch: Batch) -> list[dict[str, Any]]:
    text = b"".join([page async for page in results(database, batch)])
    return [json.loads(line) for line in text.split(b"\n")[:-1]]


async def ended(database: Database, tenant: str, reader: Ingest, count: int = 2) -> Batch:
    batch = await create(database, tenant, body([one(f"q-{n}", "nope") for n in range(count)]), LIMITS)
    await reader.run(batch.id)
    return await reload(database, batch)


async def count(database: Database, table: str) -> int:
    row = await database.fetch_one(f"SELECT count(*)::int AS n FROM {table}")
    assert row is not None
    return int(row["n"])


async def test_a_batch_whose_lines_are_all_refused_ends(database: Database, tenant: str, reader: Ingest):
    requests = [one("a", "nope"), one("b", max_tokens=None), one("c", "no\0"), one("d", tools=1), one("e", top_p=1e308)]
    batch = await create(database, tenant, body(requests), LIMITS)
    assert (batch.status, batch.total, batch.in_progress_at is not None) == ("in_progress", 5, True)
    await reader.run(batch.id)
    row = await reload(database, batch)
    assert (row.status, row.total, row.failed, row.finished) == ("completed", 5, 5, 5)
    lines = await lines_of(database, row)
    assert [line["custom_id"] for line in lines] == list("abcde")
    kinds = [line["result"]["error"]["error"]["type"] for line in lines]
    assert (
        kinds == ["not_found_error", *["invalid_request_error"]] + ["not_found_error"] + ["invalid_request_error"] * 2
    )


@pytest.mark.parametrize("broken", [1, 2, 3])
@pytest.mark.parametrize("where", ["before", "inside", "after"])
async def test_a_reader_that_dies_among_refused_lines_is_followed_where_it_stopped(
    database: Database, tenant: str, reader: Ingest, monkeypatch: pytest.MonkeyPatch, broken: int, where: str
):
    """Killed before, in the middle of, or right after a transaction; every line is there once and counted once."""
    requests = [one(f"q-{n}", "nope" if n % 2 else "m") for n in range(11)]
    batch = await create(database, tenant, body(requests), LIMITS)
    places: dict[str, tuple[Any, str]] = {
        "before": (batches, "advance_ingest"),
        "inside": (jobs, "copy"),
        "after": (ingest, "wake_dispatcher"),
    }
    good = getattr(*places[where])
    calls = 0

    async def dying(*args: Any) -> Any:
        nonlocal calls
        calls += 1
        if calls == broken:
            raise KeyboardInterrupt("killed")
        return await good(*args)

    with monkeypatch.context() as patch:
        patch.setattr(*places[where], dying)
        with pytest.raises(KeyboardInterrupt):
            await reader.run(batch.id)
    done = (broken - (where != "after")) * 3
    row = await reload(database, batch)
    assert (row.ingested_to, row.failed, row.status) == (done, sum(n % 2 for n in range(done)), "in_progress")
    assert await count(database, "jobs") == done
    await batches.end_ingest(database, batch.id)  # its lease ran out
    await reader.run(batch.id)
    row = await reload(database, batch)
    assert (row.ingested_to, row.failed, row.finished, row.status) == (11, 5, 5, "in_progress")
    found = await database.fetch("SELECT custom_id, line, state, finished_number FROM jobs ORDER BY line")
    assert [(r["custom_id"], r["line"]) for r in found] == [(f"q-{n}", n + 1) for n in range(11)]
    assert [r["state"] for r in found] == ["failed" if n % 2 else "pending" for n in range(11)]
    assert [r["finished_number"] for r in found if r["finished_number"]] == [1, 2, 3, 4, 5]


async def test_two_readers_at_once_insert_every_line_once(
    database: Database, tenant: str, reader: Ingest, monkeypatch: pytest.MonkeyPatch
):
    batch = await create(database, tenant, body([one(f"q-{n}", "nope") for n in range(20)]), LIMITS)
    rows = [await batches.lease_ingest(database, batch.id, -1) for _ in range(2)]
    assert all(rows), "a lease that ran out while its holder went on"
    given = iter(rows)

    async def leased(*_: Any) -> Batch | None:
        return next(given)

    monkeypatch.setattr(batches, "lease_ingest", leased)
    await asyncio.gather(reader.run(batch.id), reader.run(batch.id))
    row = await reload(database, batch)
    assert (row.failed, row.finished, row.status, await count(database, "jobs")) == (20, 20, "completed", 20)


async def test_nothing_is_stored_of_a_bad_body(database: Database, tenant: str):
    with pytest.raises(InvalidRequest):
        await create(database, tenant, body([one(f"q-{n}") for n in range(3000)] + [one("q-1")]), LIMITS)
    assert [await count(database, table) for table in ("files", "file_chunks", "batches")] == [0, 0, 0]


async def test_nothing_is_half_there_when_the_batch_cannot_be_stored(database: Database):
    """The file's row and bytes are in the batch's transaction: an unknown tenant breaks the last statement."""
    with pytest.raises(Exception, match="foreign key"):
        await create(database, "nobody", body([one("a")]), LIMITS)
    assert [await count(database, table) for table in ("files", "file_chunks", "batches")] == [0, 0, 0]


async def test_a_large_body_is_stored_as_it_came(database: Database, tenant: str):
    requests = [one(f"q-{n}", system="x" * 5000 + "é") for n in range(600)]
    batch = await create(database, tenant, body(requests), LIMITS)
    text = b"".join([chunk async for chunk in files.chunks(database, batch.input_file_id)])
    assert [json.loads(line) for line in text.splitlines()] == requests


async def test_the_other_interface_shows_nothing_of_it(database: Database, tenant: str, reader: Ingest):
    batch = await create(database, tenant, body([one("a", "nope")]), LIMITS)
    for _ in range(2):
        assert await files.get(database, tenant, batch.input_file_id) is None
        assert await files.page(database, tenant, purpose=None, after=None, limit=9, ascending=True) == []
        assert not await files.delete(database, tenant, batch.input_file_id)
        assert await batches.get(database, batch.id, tenant) is None
        assert await batches.page(database, tenant, None, 9) == []
        await reader.run(batch.id)
    assert (await reload(database, batch)).status == "completed"
    assert await count(database, "file_chunks") == 0, "the requests are of no use once they are answered"
    events = await database.fetch("SELECT type, object_id FROM webhook_events")
    assert [(e["type"], e["object_id"]) for e in events] == [("batch.completed", f"msgbatch_{batch.id.hex}")]


async def test_a_batch_of_files_is_not_a_message_batch(database: Database, tenant: str):
    new = NewBatch(tenant_id=tenant, endpoint="/v1/responses", input_file_id=new_id(), window_seconds=60)
    row = await batches.insert(database, new)
    assert await message_batches.get(database, tenant, row.id) is None
    assert await message_batches.page(database, tenant, side="after", cursor=None, limit=9) == []
    assert await message_batches.page(database, tenant, side="after", cursor=row.id, limit=9) is None
    assert not await message_batches.delete(database, tenant, row.id)


async def test_cancelling_meets_the_end(database: Database, tenant: str, reader: Ingest):
    """Either the batch was flagged first and ends as cancelled, or it ends as completed; the counts fit in both."""
    for _ in range(10):
        batch = await create(database, tenant, body([one("a", "nope"), one("b", "nope")]), LIMITS)
        _, flagged = await asyncio.gather(reader.run(batch.id), batches.request_cancel(database, tenant, batch.id))
        await finalize.finalize_batch(database, batch.id)
        row = await reload(database, batch)
        assert row.status == ("cancelled" if flagged else "completed")
        assert (row.total, row.failed, row.cancelled_at is not None) == (2, 2, flagged)
        assert not await batches.request_cancel(database, tenant, batch.id)


@pytest.mark.parametrize(("ending", "told"), [("cancelled", "canceled"), ("expired", "expired")])
async def test_lines_that_did_not_run_are_told_so(
    database: Database, tenant: str, reader: Ingest, ending: str, told: str
):
    batch = await create(database, tenant, body([one("a"), one("b", "nope"), one("c")]), LIMITS)
    await reader.run(batch.id)
    if ending == "cancelled":
        assert await batches.request_cancel(database, tenant, batch.id)
    else:
        await database.execute("UPDATE batches SET expires_at = now() - interval '1 second'")
        assert await stops.flag_expired_batches(database) == [batch.id]
    assert await end_lines(database, batch.id, ending, 100) == 2
    assert await finalize.finalize_batch(database, batch.id)
    row = await reload(database, batch)
    counts = {name: n for name, n in request_counts(row).items() if n}
    assert (row.status, counts) == (ending, {"errored": 1, told: 2})
    lines = await lines_of(database, row)
    assert [(line["custom_id"], line["result"]["type"]) for line in lines] == [
        ("a", told),
        ("b", "errored"),
        ("c", told),
    ]


async def test_deleting_hides_at_once_and_removes_afterwards(database: Database, tenant: str, reader: Ingest):
    running = await create(database, tenant, body([one("a")]), LIMITS)
    await reader.run(running.id)
    assert not await message_batches.delete(database, tenant, running.id)
    batch, kept = await ended(database, tenant, reader, 7), await ended(database, tenant, reader, 2)
    line = (await message_batches.lines(database, batch.id, 0, 1))[0]
    assert await jobs.load(database, tenant, line.job_id) is not None
    assert not await message_batches.delete(database, "other", batch.id)
    assert await message_batches.delete(database, tenant, batch.id)
    assert not await message_batches.delete(database, tenant, batch.id)
    assert await message_batches.get(database, tenant, batch.id) is None
    assert await jobs.load(database, tenant, line.job_id) is None
    purged = [await retention.purge_lines(database, 3) for _ in range(4)]
    assert purged == [3, 3, 1, 0]
    for table in ("jobs", "job_requests"):
        assert await count(database, table) == 3
    assert await count(database, "job_results") == 2
    assert len(await lines_of(database, kept)) == 2


async def test_results_that_vanish_while_they_are_sent_do_not_look_whole(
    database: Database, tenant: str, reader: Ingest
):
    batch = await ended(database, tenant, reader, 3)
    assert await message_batches.delete(database, tenant, batch.id)
    await retention.purge_lines(database, 2)
    with pytest.raises(NotFound):
        await lines_of(database, batch)


async def test_pages_neither_repeat_nor_skip(database: Database, tenant: str, reader: Ingest):
    made = [(await ended(database, tenant, reader)).id for _ in range(7)][::-1]
    await create(database, "other", body([one("a")]), LIMITS)

    async def page(side: Any, cursor: Any, limit: int, owner: str = tenant) -> list[Any] | None:
        found = await message_batches.page(database, owner, side=side, cursor=cursor, limit=limit)
        return None if found is None else [batch.id for batch in found]

    assert await page("after", None, 3) == made[:3]
    assert await page("after", made[2], 3) == made[3:6]
    assert await page("after", made[6], 3) == []
    assert await page("before", made[5], 3) == made[2:5]
    assert await page("before", made[1], 3) == made[:1]
    assert await page("before", made[0], 3) == []
    assert await page("after", made[0], 3, "other") is None
    assert await page("after", new_id(), 3) is None
    await message_batches.delete(database, tenant, made[2])
    assert await page("after", made[2], 2) == made[3:5], "a list can be walked while it is deleted"
    assert await page("after", made[1], 2) == made[3:5]


async def test_a_refused_job_is_a_job(database: Database, tenant: str, reader: Ingest):
    """Its own interface shows it like any other that failed."""
    batch = await ended(database, tenant, reader, 1)
    line = (await message_batches.lines(database, batch.id, 0, 9))[0]
    row = await jobs.load(database, tenant, line.job_id)
    assert row is not None
    assert (row.state, row.status_code, row.dialect, row.model) == ("failed", 404, "anthropic.messages", "nope")
    assert json.loads(row.request or b"")["max_tokens"] == 5
    error = Outcome.from_bytes(row.result or b"").error
    assert error is not None
    assert error["code"] == "model_not_found"
