"""Lines of a batch as they finish: in number order, nothing skipped, nothing twice, whatever else happens."""

import asyncio
import json
import random
from decimal import Decimal
from uuid import UUID

import pytest
from line_walk import end_lines
from test_jobs import add_jobs, done, make_batch, take

from penstock.completion.encoding import dumps
from penstock.completion.outcome import Outcome
from penstock.errors import PenstockError, error_to_json
from penstock.ids import new_id
from penstock.store import batches, jobs
from penstock.store.batches import Batch
from penstock.store.database import Database
from penstock.store.finish import finish
from penstock.submission import live_results
from penstock.submission.finalize import finalize_batch
from penstock.submission.live_results import finished_lines, follow_lines

POOL = "model-a"
FAILURE = Outcome(error=error_to_json(PenstockError("x"))).to_bytes()


async def claimed(database: Database, batch: Batch, count: int) -> tuple[UUID, list[UUID]]:
    ids = await add_jobs(database, count, batch)
    await take(database, count)
    worker = new_id()
    await jobs.claim(database, worker, POOL, "bulk", ids)
    return worker, ids


async def fail(database: Database, worker: UUID, ids: list[UUID]) -> None:
    """End lines; failed ones are enough here: rendering answers is the dialects' own matter."""
    await finish(database, worker, [done(i, 1, "failed", status_code=500, body=FAILURE) for i in ids])


def read(pages: list[bytes]) -> list[tuple[int, str]]:
    lines = b"".join(pages).split(b"\n")
    assert lines.pop() == b""
    return [(line["number"], line["custom_id"]) for line in map(json.loads, lines)]


async def so_far(database: Database, batch_id: UUID, after: int = 0) -> list[tuple[int, str]]:
    batch = await batches.get(database, batch_id)
    assert batch is not None
    return read([page async for page in finished_lines(database, batch, after)])


async def test_lines_come_in_finishing_order_and_resume_anywhere(database: Database):
    batch = await make_batch(database, 4)
    worker, ids = await claimed(database, batch, 4)
    assert await so_far(database, batch.id) == []
    await fail(database, worker, [ids[2]])
    await fail(database, worker, [ids[0], ids[3]])
    expected = [(1, "c-2"), (2, "c-0"), (3, "c-3")]
    for after in range(5):
        assert await so_far(database, batch.id, after) == expected[after:]
    await batches.request_cancel(database, "team", batch.id)
    await database.execute("UPDATE jobs SET state = 'pending' WHERE state = 'running'")
    assert await end_lines(database, batch.id, "cancelled", 10) == 1
    assert await so_far(database, batch.id, 3) == [(4, "c-1")]


async def test_pages_end_by_length_too(database: Database, monkeypatch: pytest.MonkeyPatch):
    """Lines of embeddings can be megabytes long: a page of them must not be gigabytes."""
    monkeypatch.setattr(jobs, "PAGE_BYTES", 1)
    batch = await make_batch(database, 3)
    worker, ids = await claimed(database, batch, 3)
    lines = [done(i, 1, "failed", status_code=500, body=FAILURE, line_bytes=100) for i in ids]
    await finish(database, worker, lines)
    assert [row.line for row in await jobs.page_of_batch(database, batch.id, "error", 0)] == [1]
    assert [number for number, _ in await so_far(database, batch.id)] == [1, 2, 3]


async def test_a_follower_meets_every_line_once_while_many_write(database: Database, monkeypatch: pytest.MonkeyPatch):
    """Readers that join at any time and stop anywhere, eight writers, pages smaller than the groups."""
    monkeypatch.setattr(jobs, "PAGE_ROWS", 7)
    monkeypatch.setattr(live_results, "LOOK_SECONDS", 0.001)
    batch = await make_batch(database, 200)
    worker, ids = await claimed(database, batch, 200)
    order = random.Random(7).sample(ids, 200)

    async def write(start: int) -> None:
        mine = order[start::8]
        for place in range(0, len(mine), 5):
            await fail(database, worker, mine[place : place + 5])

    async def follow(joins_after: float) -> list[tuple[int, str]]:
        await asyncio.sleep(joins_after)
        seen: list[tuple[int, str]] = []
        while len(seen) < 200:
            async for page in follow_lines(database, batch.id, len(seen), 60):
                seen += read([page or b""]) if page else []
                if len(seen) % 3 == 0 or len(seen) == 200:
                    break  # the connection is lost
        return seen

    *_, first, second = await asyncio.gather(*map(write, range(8)), follow(0), follow(0.02))
    assert [number for number, _ in first] == list(range(1, 201))
    assert first == second
    assert {custom_id for _, custom_id in first} == {f"c-{n}" for n in range(200)}


async def test_a_follower_leaves_when_the_batch_has_ended_and_is_told_of_silence(
    database: Database, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(live_results, "LOOK_SECONDS", 0.01)
    batch = await make_batch(database, 1)
    worker, ids = await claimed(database, batch, 1)
    pages: list[bytes | None] = []
    async for page in follow_lines(database, batch.id, 0, 0.03):
        pages.append(page)
        if pages == [None, None]:
            await fail(database, worker, ids)
            assert await finalize_batch(database, batch.id)
    assert pages[:2] == [None, None]
    assert read([page for page in pages if page]) == [(1, "c-0")]


async def test_what_an_answer_of_unknown_price_does_to_the_cost(database: Database):
    """Known prices are summed; a failure without a price costs nothing; an answer without one makes it unknown."""
    batch = await make_batch(database, 4)
    worker, ids = await claimed(database, batch, 4)
    body = dumps({})
    await finish(database, worker, [done(ids[0], 1, body=body), done(ids[1], 1, "failed", status_code=400, cost=None)])
    row = await batches.get(database, batch.id)
    assert row is not None
    assert (row.cost, row.unpriced) == (Decimal("0.01"), 0)
    await finish(database, worker, [done(ids[2], 1, cost=None), done(ids[3], 1)])
    row = await batches.get(database, batch.id)
    assert row is not None
    assert (row.cost, row.unpriced) == (Decimal("0.02"), 1)
