"""What a worker does when the database goes away in the middle of something, and what a dead one leaves behind."""

import asyncio
import os
import sys
from uuid import UUID

import psycopg
import pytest
from integration.store.test_jobs import POOL, add_jobs, attempt, done, make_batch, take

from penstock.completion.events import PartDelta, PartStarted
from penstock.completion.outcome import Outcome
from penstock.errors import Unavailable
from penstock.ids import new_id
from penstock.redis import Redis
from penstock.store import backlog, flows, jobs, tenants, workers
from penstock.store.database import Database
from penstock.store.finish import finish
from penstock.store.jobs import NewJob
from penstock.store.schema import require_current
from penstock.streams.entries import Started, StreamEntry, channel, wanted_key
from penstock.streams.writer import StreamWriter
from workers import predecessors
from workers.commit import GroupCommit
from workers.lost_streams import end_read_streams
from workers.runtime import Exits, WorkerRuntime

CUT = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND query ~ 'claimed'"
HELLO = (Started(), PartStarted(0, "text"), PartDelta(0, "Hello"), PartDelta(0, ", wor"))


def runtime(database: Database, redis: Redis) -> WorkerRuntime:
    """A worker's runtime that never gets as far as a call."""
    return WorkerRuntime(
        lane="bulk",
        database=database,
        redis=redis,
        pipeline=None,
        exits=Exits(None, None, None, None, None),
        writer=StreamWriter(redis, UUID(int=1)),
        permits=10,
        worker_id=new_id(),
    )


async def state(database: Database, job_id: UUID) -> str:
    found = await jobs.state_of(database, job_id)
    assert found
    return found[0]


async def test_a_slice_goes_back_when_its_claim_is_not_answered(database: Database, redis: Redis):
    """Whether it was claimed is not known; if it was, it is owned by a worker that lives and does not work on it."""
    ids = await add_jobs(database, 3)
    await take(database, 3)
    worker = runtime(database, redis)
    connect = psycopg.AsyncConnection.connect
    # a transaction sees one state of all sessions: who waits for a session to wait needs a connection without one
    async with await connect(database.url) as holder, await connect(database.url, autocommit=True) as other:
        await holder.execute("LOCK TABLE tenants IN ACCESS EXCLUSIVE MODE")
        accepting = asyncio.create_task(worker.accept(POOL, "bulk", ids))
        async with asyncio.timeout(60):
            while not (await (await other.execute(CUT)).fetchall()):
                await asyncio.sleep(0.02)
            await accepting
    async with asyncio.timeout(60):
        while await state(database, ids[0]) != "pending":
            await asyncio.sleep(0.02)
    assert [await state(database, job_id) for job_id in ids] == ["pending"] * 3


async def test_a_claim_that_happened_goes_back_too(database: Database, redis: Redis):
    ids = await add_jobs(database, 2)
    await take(database, 2)
    worker = runtime(database, redis)
    await jobs.claim(database, worker.worker_id, POOL, "bulk", ids)
    await worker._disclaim(ids)
    assert [await state(database, job_id) for job_id in ids] == ["pending"] * 2


async def test_a_job_is_given_up_once(database: Database):
    """The answer was lost, the worker owns the job anew, and the same statement is sent again."""
    ids = await add_jobs(database, 1)
    await take(database, 1)
    worker = new_id()
    await jobs.claim(database, worker, POOL, "bulk", ids)
    assert await jobs.give_up(database, worker, {ids[0]: (1, 0)}) == 1
    assert await take(database, 1) == ids
    await jobs.claim(database, worker, POOL, "bulk", ids)
    assert await jobs.give_up(database, worker, {ids[0]: (1, 0)}) == 0
    assert await state(database, ids[0]) == "running"


async def test_a_worker_that_was_declared_dead_claims_nothing(database: Database):
    ids = await add_jobs(database, 1)
    await take(database, 1)
    worker = new_id()
    await workers.register(database, worker, "bulk", "h", 1)
    await workers.stop(database, worker)
    assert await jobs.claim(database, worker, POOL, "bulk", ids) == []
    assert await state(database, ids[0]) == "queued"


async def test_commits_go_on_when_a_batch_could_not_be_finalised(database: Database):
    async def away(_: frozenset[UUID]) -> None:
        told.append(1)
        raise Unavailable("The database cannot be reached.")

    told: list[int] = []
    batch = await make_batch(database, 1)
    (line,) = await add_jobs(database, 1, batch)
    (single,) = await add_jobs(database, 1)
    await take(database, 2)
    worker = new_id()
    await jobs.claim(database, worker, POOL, "bulk", [line, single])
    commit = GroupCommit(database, worker, 0.0, away)
    running = asyncio.create_task(commit.run())
    async with asyncio.timeout(60):
        assert await commit.add(done(line, 1))
        assert await commit.add(done(single, 1)), "the next group is committed"
    assert told
    assert not running.done()
    running.cancel()
    await asyncio.wait([running])


async def test_a_group_that_is_committed_again_writes_its_calls_down_once(database: Database):
    """The answer to the first commit was lost with its connection."""
    ids = await add_jobs(database, 1)
    await take(database, 1)
    worker = new_id()
    await jobs.claim(database, worker, POOL, "bulk", ids)
    group = [done(ids[0], 1, attempts=(attempt(ids[0]),))]
    assert (await finish(database, worker, group)).ended == set(ids)
    assert (await finish(database, worker, group)).ended == frozenset()
    spent = await database.fetch("SELECT count(*) AS n FROM attempts")
    assert spent[0]["n"] == 1


@pytest.mark.skipif(predecessors.pid_space() is None, reason="this system does not say whose process numbers are whose")
async def test_a_worker_knows_which_of_those_before_it_are_gone(database: Database, redis: Redis):
    ended = await asyncio.create_subprocess_exec(sys.executable, "-c", "")
    await ended.wait()
    gone, alive, elsewhere, unknown = (new_id() for _ in range(4))
    space = predecessors.pid_space()
    await workers.register(database, gone, "bulk", "h", ended.pid, space)
    await workers.register(database, alive, "bulk", "h", os.getpid(), space)
    await workers.register(database, elsewhere, "bulk", "h", ended.pid, "another machine")
    await workers.register(database, unknown, "bulk", "h", ended.pid, None)
    worker = runtime(database, redis)
    await worker.register(database)
    assert {row.id for row in await workers.living(database)} == {alive, elsewhere, unknown, worker.worker_id}


async def response(database: Database, worker: UUID, dialect: str = "openai.responses") -> UUID:
    """A background job that `worker` runs."""
    await tenants.ensure_tenants(database, {"team": "unlimited"})
    flow_id = await flows.ensure(database, POOL, "bulk", "team")
    body = b'{"model":"model-a","input":"Hello?","background":true}'
    async with database.transaction() as connection:
        job = NewJob(
            id=new_id(), tenant_id="team", dialect=dialect, model=POOL, lane="bulk", flow_id=flow_id, deployment=POOL,
            tokens=1, body=body, state="queued", background=True,
        )  # fmt: skip
        await jobs.insert(connection, job)
    assert await jobs.claim(database, worker, POOL, "bulk", [job.id])
    return job.id


async def publish(redis: Redis, worker: UUID, job_id: UUID, *entries: StreamEntry) -> None:
    writer = StreamWriter(redis, worker)
    stream = writer.open(job_id, 1)
    for entry in entries:
        stream.append(entry)
    await writer.flush()


async def test_a_response_that_was_read_in_part_ends_with_its_worker(database: Database, redis: Redis):
    worker = new_id()
    job_id = await response(database, worker)
    await publish(redis, worker, job_id, *HELLO)
    await redis.set(wanted_key(job_id), b"1")
    assert await end_read_streams(database, redis, worker, 10) == 1
    row = await jobs.load(database, "team", job_id)
    assert row
    assert row.state == "failed"
    stored = Outcome.from_bytes(row.result)
    assert stored.error["code"] == "stream_lost"
    assert list(stored.result.events()) == list(HELLO[1:]), "whoever reads it later reads what was told"
    events = await database.fetch("SELECT type FROM webhook_events")
    assert [event["type"] for event in events] == ["response.failed"]
    assert await backlog.recover(database, [worker], 10, 5) == 0, "it does not begin anew"


async def test_a_reader_counts_whom_redis_forgot(database: Database, redis: Redis):
    worker = new_id()
    job_id = await response(database, worker)
    await publish(redis, worker, job_id, *HELLO)
    async with redis.pubsub() as reading:
        await reading.subscribe(channel(job_id))
        await reading.get_message(timeout=5)
        assert await end_read_streams(database, redis, worker, 10) == 1


@pytest.mark.parametrize(
    ("dialect", "read", "entries"),
    [
        ("openai.responses", False, HELLO),
        ("openai.responses", True, HELLO[:1]),
        ("job", True, HELLO),
    ],
    ids=["nobody was there", "nothing was told", "it has a reset event"],
)
async def test_any_other_stream_begins_anew(
    database: Database, redis: Redis, dialect: str, read: bool, entries: tuple[StreamEntry, ...]
):
    worker = new_id()
    job_id = await response(database, worker, dialect)
    await publish(redis, worker, job_id, *entries)
    if read:
        await redis.set(wanted_key(job_id), b"1")
    assert await end_read_streams(database, redis, worker, 10) == 0
    assert await backlog.recover(database, [worker], 10, 5) == 1
    assert await state(database, job_id) == "pending"


def test_a_database_that_does_not_answer_is_not_a_wrong_one(tmp_path):
    with pytest.raises(Unavailable):
        require_current(f"postgresql://postgres@/penstock?host={tmp_path}")
