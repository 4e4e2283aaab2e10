"""The life of jobs in Postgres: every statement against the real thing."""

import asyncio
from datetime import UTC, datetime
from decimal import Decimal
from uuid import UUID

import pytest
from line_walk import end_lines

from penstock.completion.outcome import Outcome
from penstock.completion.usage import Usage
from penstock.ids import new_id, new_ids
from penstock.store import backlog, batches, files, flows, jobs, tenants, workers
from penstock.store.batches import Batch, NewBatch
from penstock.store.database import Database
from penstock.store.finish import Attempt, FinishedJob, ended_as_mine, finish
from penstock.store.flows import Turn
from penstock.store.jobs import NewJob

POOL = "model-a"
BODY = Outcome(error={"message": "x"}).to_bytes()


async def content():
    yield b"{}\n"


async def make_batch(database: Database, total: int) -> Batch:
    await tenants.ensure_tenants(database, {"team": "unlimited"})
    file = await files.insert(
        database, tenant_id="team", purpose="batch", filename="f", content=content(), expires_seconds=None, max_bytes=99
    )
    new = NewBatch(
        tenant_id="team",
        endpoint="/v1/chat/completions",
        input_file_id=file.id,
        window_seconds=86400,
        metadata={"a": "b"},
    )
    batch = await batches.insert(database, new)
    await batches.start(database, batch.id, total)
    return batch


async def add_jobs(database: Database, count: int, batch: Batch | None = None, tenant: str = "team") -> list[UUID]:
    await tenants.ensure_tenants(database, {tenant: "unlimited"})
    flow_id = await flows.ensure(database, POOL, "bulk", tenant)
    rows = [
        NewJob(
            id=job_id,
            tenant_id=tenant,
            dialect="openai.chat",
            model=POOL,
            lane="bulk",
            flow_id=flow_id,
            deployment=POOL,
            tokens=10,
            body=b'{"n":1}',
            batch_id=batch.id if batch else None,
            line=index + 1 if batch else None,
            custom_id=f"c-{index}" if batch else None,
        )
        for index, job_id in enumerate(new_ids(count))
    ]
    async with database.transaction() as connection:
        await jobs.copy(connection, rows)
        await flows.wake(connection, {flow_id: (0, rows[0].id)})
    return [row.id for row in rows]


async def take(database: Database, count: int) -> list[UUID]:
    active = await flows.active(database)
    async with database.transaction() as connection:
        taken = await flows.take(connection, POOL, active, [count] * len(active))
        by_flow = {flow: [job for job in taken if job.flow_id == flow.id] for flow in active}
        await flows.advance(connection, [Turn.of(flow, count, mine, 1.0) for flow, mine in by_flow.items()])
    return [job.id for job in taken]


def done(job_id: UUID, epoch: int, state: str = "succeeded", **changes) -> FinishedJob:
    values = {
        "id": job_id,
        "epoch": epoch,
        "state": state,
        "status_code": 200,
        "body": BODY,
        "line_bytes": 7,
        "usage": Usage(3, 4),
        "cost": Decimal("0.01"),
    }
    return FinishedJob(**(values | changes))


def attempt(job_id: UUID, epoch: int = 1) -> Attempt:
    return Attempt(
        job_id=job_id,
        epoch=epoch,
        step=0,
        deployment=POOL,
        started_at=datetime.now(UTC),
        outcome="succeeded",
        latency_ms=5,
        usage=Usage(3, 4),
    )


async def test_a_job_goes_from_backlog_to_result(database: Database):
    ids = await add_jobs(database, 3)
    assert sorted(await take(database, 10)) == ids
    worker = new_id()
    claimed = await jobs.claim(database, worker, POOL, "bulk", ids)
    assert [job.epoch for job in claimed] == [1, 1, 1]
    assert claimed[0].body == b'{"n":1}'
    ended = await finish(database, worker, [done(job.id, 1, attempts=(attempt(job.id),)) for job in claimed])
    assert ended.ended == set(ids)
    row = await jobs.load(database, "team", ids[0])
    assert row is not None
    assert (row.state, row.result, row.request) == ("succeeded", BODY, b'{"n":1}')
    assert await jobs.load(database, "another", ids[0]) is None


async def test_an_emptied_flow_sleeps_and_a_new_job_wakes_it(database: Database):
    await add_jobs(database, 2)
    await take(database, 10)
    assert await flows.active(database) == []
    late = await add_jobs(database, 1)
    assert await take(database, 10) == late


async def test_jobs_that_came_while_a_slice_was_taken_are_not_passed_over(database: Database):
    """The cursor moves only if nobody made jobs pending since the flow was read."""
    first = await add_jobs(database, 1)
    stale = await flows.active(database)
    async with database.transaction() as connection:
        taken = await flows.take(connection, POOL, stale, [5])
    late = await add_jobs(database, 1)
    async with database.transaction() as connection:
        await flows.advance(connection, [Turn.of(stale[0], 5, taken, 5.0)])
    assert [job.id for job in taken] == first
    assert await take(database, 5) == late


async def test_a_claim_names_lane_and_deployment(database: Database):
    ids = await add_jobs(database, 2)
    await take(database, 10)
    worker = new_id()
    assert await jobs.claim(database, worker, "another", "bulk", ids) == []
    assert await jobs.claim(database, worker, POOL, "interactive", ids) == []
    assert len(await jobs.claim(database, worker, POOL, "bulk", [*ids, new_id()])) == 2
    assert await jobs.claim(database, new_id(), POOL, "bulk", ids) == []


async def test_many_claimants_win_each_job_once(database: Database):
    ids = await add_jobs(database, 60)
    await take(database, 100)
    claims = await asyncio.gather(*(jobs.claim(database, new_id(), POOL, "bulk", ids) for _ in range(8)))
    won = [job.id for claimed in claims for job in claimed]
    assert len(won) == len(set(won)) <= 60


async def test_a_stale_owner_cannot_end_a_job(database: Database):
    ids = await add_jobs(database, 1)
    await take(database, 1)
    old, new = new_id(), new_id()
    await jobs.claim(database, old, POOL, "bulk", ids)
    assert await jobs.hand_back(database, old, ids) == 1
    assert await take(database, 1) == ids
    claimed = await jobs.claim(database, new, POOL, "bulk", ids)
    assert claimed[0].epoch == 2
    assert (await finish(database, old, [done(ids[0], 1, attempts=(attempt(ids[0]),))])).ended == frozenset()
    assert (await finish(database, new, [done(ids[0], 2)])).ended == set(ids)
    spent = await database.fetch("SELECT count(*) AS n FROM attempts")
    assert spent[0]["n"] == 1, "a call that was made is recorded, whoever made it"


async def test_a_result_paid_for_is_accepted_after_recovery(database: Database):
    ids = await add_jobs(database, 1)
    await take(database, 1)
    worker = new_id()
    await jobs.claim(database, worker, POOL, "bulk", ids)
    await workers.register(database, worker, "bulk", "h", 1)
    await workers.stop(database, worker)
    assert await workers.stopped_with_work(database, 10) == [worker]
    assert await backlog.recover(database, [worker], 10, 5) == 1
    assert (await finish(database, worker, [done(ids[0], 1)])).ended == set(ids)


async def test_the_same_finish_twice_changes_nothing(database: Database):
    batch = await make_batch(database, 1)
    ids = await add_jobs(database, 1, batch)
    await take(database, 1)
    worker = new_id()
    await jobs.claim(database, worker, POOL, "bulk", ids)
    first = await finish(database, worker, [done(ids[0], 1)])
    second = await finish(database, worker, [done(ids[0], 1, state="failed")])
    assert (first.ended, second.ended) == (set(ids), frozenset())
    assert await ended_as_mine(database, worker, {ids[0]: 1}) == set(ids)
    row = await batches.get(database, batch.id)
    assert row is not None
    assert (row.finished, row.completed, row.failed) == (1, 1, 0)


async def test_counters_and_numbers_of_a_batch_under_concurrent_finishes(database: Database):
    """Every finished line has a number of its own, without gaps, and exactly one finish is the last."""
    batch = await make_batch(database, 80)
    ids = await add_jobs(database, 80, batch)
    await take(database, 100)
    worker = new_id()
    await jobs.claim(database, worker, POOL, "bulk", ids)
    groups = [ids[start::8] for start in range(8)]
    ends = await asyncio.gather(
        *(
            finish(database, worker, [done(i, 1, state="failed" if i == ids[0] else "succeeded") for i in group])
            for group in groups
        )
    )
    assert sum(len(end.finished_batches) for end in ends) == 1
    row = await batches.get(database, batch.id)
    assert row is not None
    assert (row.finished, row.completed, row.failed, row.output_bytes, row.error_bytes) == (80, 79, 1, 79 * 7, 7)
    assert (row.input_tokens, row.output_tokens, row.cost) == (240, 320, Decimal("0.80"))
    numbers = await database.fetch("SELECT finished_number AS n FROM jobs ORDER BY 1")
    assert [number["n"] for number in numbers] == list(range(1, 81))


async def test_overlapping_groups_do_not_deadlock(database: Database):
    ids = await add_jobs(database, 40)
    await take(database, 100)
    worker = new_id()
    await jobs.claim(database, worker, POOL, "bulk", ids)
    ends = await asyncio.gather(
        *(finish(database, worker, [done(i, 1) for i in (ids if n % 2 else reversed(ids))]) for n in range(8))
    )
    assert sum(len(end.ended) for end in ends) == 40


async def test_a_cancelled_batch_ends_its_lines_and_its_finished_results_stay(database: Database):
    batch = await make_batch(database, 5)
    ids = await add_jobs(database, 5, batch)
    await take(database, 2)
    worker = new_id()
    claimed = await jobs.claim(database, worker, POOL, "bulk", ids)
    await finish(database, worker, [done(claimed[0].id, 1)])
    assert await batches.request_cancel(database, "team", batch.id)
    assert await end_lines(database, batch.id, "cancelled", 100) == 3
    assert (
        await finish(database, worker, [done(claimed[1].id, 1, "cancelled", status_code=None, line_bytes=None)])
    ).ended
    ending = await batches.begin_finalizing(database, batch.id)
    assert ending is not None
    assert await batches.finalize(database, ending, 123)
    row = await batches.get(database, batch.id)
    assert row is not None
    assert (row.status, row.completed, row.finished) == ("cancelled", 1, 5)
    assert row.output_file_id
    assert row.error_file_id
    assert not await batches.finalize(database, ending, 0), "a batch ends once"


@pytest.mark.parametrize("recoveries", [0, 1])
async def test_a_job_recovered_too_often_ends_with_an_error(database: Database, recoveries: int):
    batch = await make_batch(database, 1)
    ids = await add_jobs(database, 1, batch)
    for _ in range(recoveries):
        await take(database, 1)
        worker = new_id()
        await jobs.claim(database, worker, POOL, "bulk", ids)
        assert await backlog.recover(database, [worker], 10, recoveries) == 1
    await take(database, 1)
    worker = new_id()
    await jobs.claim(database, worker, POOL, "bulk", ids)
    assert await backlog.recover(database, [worker], 10, recoveries) == 0
    assert await backlog.end_stuck(database, [worker], recoveries, 10) == 1
    row = await jobs.load(database, "team", ids[0])
    assert row is not None
    assert row.state == "failed"
    assert Outcome.from_bytes(row.result or b"").error["code"] == "too_many_recoveries"


async def events_of(database: Database, job_id: UUID) -> list[tuple[str, str | None]]:
    rows = await database.fetch(
        "SELECT type, callback_url FROM webhook_events WHERE object_id IN (%(job)s, %(response)s)",
        {"job": f"job_{job_id.hex}", "response": f"resp_{job_id.hex}"},
    )
    return [(row["type"], row["callback_url"]) for row in rows]


@pytest.mark.parametrize(
    ("dialect", "background", "expected"),
    [
        ("job", True, "job"),
        ("openai.responses", True, "response"),
        ("openai.responses", False, None),
        ("openai.chat", False, None),
    ],
)
async def test_a_job_that_ends_without_a_worker_tells_it_too(
    database: Database, dialect: str, background: bool, expected: str | None
):
    """Cancelled before it ran, cancelled for a worker that does not answer, and recovered too often."""
    ids = await add_jobs(database, 3)
    await database.execute(
        "UPDATE jobs SET dialect = %(dialect)s, background = %(background)s, callback_url = 'https://back.example/'",
        {"dialect": dialect, "background": background},
    )
    waiting, stubborn, poison = ids
    worker = new_id()
    assert await jobs.request_cancel(database, "team", waiting) == "cancelled"
    await take(database, 10)
    await jobs.claim(database, worker, POOL, "bulk", ids)
    assert await jobs.request_cancel(database, "team", stubborn) == "running"
    assert await events_of(database, stubborn) == []
    await jobs.force_cancel(database, stubborn)
    await database.execute("UPDATE jobs SET recoveries = 5 WHERE id = %(id)s", {"id": poison})
    assert await backlog.end_stuck(database, [worker], 5, 10) == 1
    for job_id, end in ((waiting, "cancelled"), (stubborn, "cancelled"), (poison, "failed")):
        told = [(f"{expected}.{end}", "https://back.example/")] if expected else []
        assert await events_of(database, job_id) == told


async def test_a_lease_has_one_holder(database: Database):
    one, other = new_id(), new_id()
    assert await workers.hold_lease(database, "x", one, 5)
    assert not await workers.hold_lease(database, "x", other, 5)
    assert await workers.hold_lease(database, "x", one, -1)
    assert await workers.hold_lease(database, "x", other, 5)
