"""One worker's event loop against the real store: what it claims, stops and gives back."""

import asyncio
from collections.abc import AsyncIterator
from types import SimpleNamespace
from typing import Any

import pytest
from integration.store.test_jobs import POOL, add_jobs, take

from penstock import tasks
from penstock.errors import PenstockError
from penstock.execution.pipeline import Hop, failed
from penstock.execution.record import CallRecord
from penstock.ids import new_id
from penstock.redis import Redis
from penstock.store import jobs, workers
from penstock.store.database import Database
from penstock.store.jobs import ClaimedJob
from penstock.streams.writer import StreamWriter
from workers.commit import GroupCommit
from workers.early_answers import EarlyAnswers
from workers.returns import Returns
from workers.runtime import Exits, WorkerRuntime

PLACES = 4


class Endless:
    """Execution of jobs that never come to an end by themselves."""

    def __init__(self) -> None:
        self.begun = 0

    async def run(self, *_: Any) -> None:
        self.begun += 1
        await asyncio.Event().wait()


@pytest.fixture
def endless() -> Endless:
    return Endless()


@pytest.fixture
async def runtime(database: Database, redis: Redis, endless: Endless) -> AsyncIterator[WorkerRuntime]:
    worker_id = new_id()
    await workers.register(database, worker_id, "bulk", "here", 1)

    async def no_batches(_: frozenset[Any]) -> None:
        raise AssertionError("no job here belongs to a batch")

    returns = Returns(database, worker_id)
    commit = GroupCommit(database, worker_id, 0.0, no_batches)
    early = EarlyAnswers(database, worker_id)
    background = [asyncio.create_task(commit.run()), asyncio.create_task(returns.run())]
    yield WorkerRuntime(
        lane="bulk",
        database=database,
        redis=redis,
        pipeline=endless,  # type: ignore[arg-type]
        exits=Exits(commit, returns, SimpleNamespace(), SimpleNamespace(), early),  # type: ignore[arg-type]
        writer=StreamWriter(redis, worker_id),
        permits=PLACES,
        worker_id=worker_id,
    )
    await tasks.end(*background)


class Returned:
    """A way on by which a job is back in this worker's queue, and claimed anew, before its task has ended."""

    def __init__(self, database: Database) -> None:
        self.database = database
        self.runtime: WorkerRuntime

    async def move(self, job: ClaimedJob, *_: Any) -> None:
        await self.database.execute("UPDATE jobs SET state = 'queued' WHERE id = %(id)s", {"id": job.id})
        await self.runtime.accept(POOL, "bulk", [job.id])


class Onward(Endless):
    """Goes on elsewhere the first time, and ends the second."""

    async def run(self, job: ClaimedJob, record: CallRecord, *_: Any) -> Any:
        self.begun += 1
        if self.begun == 1:
            raise Hop(POOL, [])
        await asyncio.sleep(0.05)
        return failed(job, record, PenstockError("It ends."))


async def test_a_job_that_comes_back_at_once_is_not_lost(
    runtime: WorkerRuntime, database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    onward, returned = Onward(), Returned(database)
    returned.runtime = runtime
    monkeypatch.setattr(runtime, "_pipeline", onward)
    monkeypatch.setattr(runtime, "_hops", returned)
    ids = await add_jobs(database, 1)
    await take(database, 1)
    async with asyncio.timeout(60):
        await runtime.accept(POOL, "bulk", ids)
        while await states(database) != ["failed"]:
            await asyncio.sleep(0.01)
    assert onward.begun == 2


async def states(database: Database) -> list[str]:
    return [row["state"] for row in await database.fetch("SELECT state FROM jobs ORDER BY id")]


@pytest.mark.parametrize("begun", [False, True])
async def test_stopped_jobs_end_and_give_their_places_back(
    runtime: WorkerRuntime, endless: Endless, database: Database, begun: bool
) -> None:
    """Also those that were stopped between their claim and the first step of their task."""
    ids = await add_jobs(database, 2 * PLACES)
    await take(database, 2 * PLACES)
    first, second = ids[:PLACES], ids[PLACES:]
    async with asyncio.timeout(60):
        await runtime.accept(POOL, "bulk", first)
        while begun and endless.begun < PLACES:
            await asyncio.sleep(0)
        for job_id in first:
            runtime.stop_job(job_id, "cancelled")
        await runtime.accept(POOL, "bulk", second)
        while "running" in (await states(database))[:PLACES]:
            await asyncio.sleep(0.01)
    assert await states(database) == ["cancelled"] * PLACES + ["running"] * PLACES
    assert endless.begun == PLACES * begun + PLACES


@pytest.mark.parametrize("begun", [False, True])
async def test_a_worker_that_stops_hands_back_what_it_cannot_finish(
    runtime: WorkerRuntime, endless: Endless, database: Database, begun: bool
) -> None:
    ids = await add_jobs(database, PLACES)
    await take(database, PLACES)
    async with asyncio.timeout(60):
        await runtime.accept(POOL, "bulk", ids)
        while begun and endless.begun < PLACES:
            await asyncio.sleep(0)
        runtime.start_draining()
        await runtime.drain(0.0)
    assert await states(database) == ["pending"] * PLACES
    assert await jobs.claim(database, new_id(), POOL, "bulk", ids) == [], "they are rung anew first"
