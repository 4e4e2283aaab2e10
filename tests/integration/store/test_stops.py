"""Cancel and expiry, against everything else that happens to a job at the same moment."""

import asyncio
import random
from uuid import UUID

import pytest
from line_walk import end_lines
from test_jobs import POOL, add_jobs, attempt, done, make_batch, take

from penstock.broker import Doorbell, make_app
from penstock.completion.encoding import loads
from penstock.configuration import Config
from penstock.ids import new_id
from penstock.providers.deployments import Deployments
from penstock.redis import Redis
from penstock.store import batches, flows, jobs, stops, tenants
from penstock.store.database import Database
from penstock.store.finish import FinishedJob, finish
from penstock.store.jobs import NewJob
from penstock.store.stops import Stop
from penstock.streams.entries import control_channel
from penstock.submission.finalize import finalize_batch
from workers.maintenance import Maintenance

ROUNDS = 60


async def add_single(database: Database, window_seconds: int | None = None) -> UUID:
    await tenants.ensure_tenants(database, {"team": "unlimited"})
    flow_id = await flows.ensure(database, POOL, "bulk", "team")
    job = NewJob(
        id=new_id(), tenant_id="team", dialect="job", model=POOL, lane="bulk", flow_id=flow_id, deployment=POOL,
        tokens=10, body=b"{}", background=True, window_seconds=window_seconds,
    )  # fmt: skip
    async with database.transaction() as connection:
        await jobs.insert(connection, job)
        await flows.wake(connection, {flow_id: (0, job.id)})
    return job.id


async def running_single(database: Database, worker: UUID, window_seconds: int | None = None) -> UUID:
    job_id = await add_single(database, window_seconds)
    await take(database, 1)
    assert len(await jobs.claim(database, worker, POOL, "bulk", [job_id])) == 1
    return job_id


async def state_of(database: Database, job_id: UUID) -> str:
    found = await jobs.state_of(database, job_id)
    assert found is not None
    return found[0]


async def events_of(database: Database, job_id: UUID) -> list[str]:
    rows = await database.fetch("SELECT type FROM webhook_events WHERE object_id = %(id)s", {"id": "job_" + job_id.hex})
    return [row["type"] for row in rows]


def told(finished: FinishedJob) -> FinishedJob:
    return done(
        finished.id, finished.epoch, finished.state, event_type=f"job.{finished.state}",
        object_id="job_" + finished.id.hex,
    )  # fmt: skip


@pytest.mark.parametrize("seed", range(3))
async def test_a_job_that_is_cancelled_while_it_completes_ends_once(database: Database, seed: int):
    """Completion, the request, the sweep and the last resort meet: one of them ends the job, and one event tells it."""
    chance, worker = random.Random(seed), new_id()
    for _ in range(ROUNDS):
        job_id = await running_single(database, worker)

        async def later(work, delay: float = chance.uniform(0, 0.004)):
            await asyncio.sleep(delay)
            return await work

        async def cancel(job_id: UUID = job_id):
            await jobs.request_cancel(database, "team", job_id)
            await jobs.force_cancel(database, job_id)

        result, *_ = await asyncio.gather(
            later(finish(database, worker, [told(done(job_id, 1))], [attempt(job_id)])),
            later(cancel()),
            later(stops.end_flagged(database, 10)),
        )
        state = await state_of(database, job_id)
        assert state == ("succeeded" if job_id in result.ended else "cancelled")
        assert await events_of(database, job_id) == [f"job.{state}"]
        stored = await database.fetch("SELECT 1 FROM job_results WHERE job_id = %(id)s", {"id": job_id})
        assert len(stored) == (state == "succeeded")
        # whoever called records it: the money was spent
        calls = await database.fetch("SELECT 1 FROM attempts WHERE job_id = %(id)s", {"id": job_id})
        assert len(calls) == 1
        # and nothing changes it any more
        assert (await finish(database, worker, [done(job_id, 1)])).ended == frozenset()
        assert await jobs.request_cancel(database, "team", job_id) == state


@pytest.mark.parametrize("ending", ["cancelled", "expired"])
async def test_a_batch_that_is_stopped_while_its_lines_complete_counts_each_once(database: Database, ending: str):
    worker = new_id()
    for turn in range(12):
        batch = await make_batch(database, 60)
        ids = await add_jobs(database, 60, batch)
        claimed = []
        while batch_jobs := await take(database, 20):
            claimed += [j.id for j in await jobs.claim(database, worker, POOL, "bulk", batch_jobs)][:15]
        chance = random.Random(turn)

        async def complete(part: list[UUID], delay: float):
            await asyncio.sleep(delay)
            return (await finish(database, worker, [done(job_id, 1) for job_id in part])).ended

        async def stop(batch=batch):
            if ending == "cancelled":
                await batches.request_cancel(database, "team", batch.id)
            else:
                await database.execute("UPDATE batches SET expires_at = now() WHERE id = %(id)s", {"id": batch.id})
                await stops.flag_expired_batches(database)
            await end_lines(database, batch.id, ending, 7)

        parts = [claimed[start : start + 5] for start in range(0, len(claimed), 5)]
        ended, *_ = await asyncio.gather(
            asyncio.gather(*(complete(part, chance.uniform(0, 0.02)) for part in parts)), stop()
        )
        # a worker that closed its calls, as it was told
        left = [j for j in ids if await state_of(database, j) == "running"]
        stopped = await finish(database, worker, [done(j, 1, ending, status_code=None, line_bytes=None) for j in left])
        await end_lines(database, batch.id, ending, 100)
        assert stopped.ended == set(left)
        assert await finalize_batch(database, batch.id)
        found = await batches.get(database, batch.id)
        assert found is not None
        succeeded = set().union(*ended)
        assert (found.status, found.total, found.finished) == (ending, 60, 60)
        assert (found.completed, found.failed) == (len(succeeded), 0)
        rows = await database.fetch(
            "SELECT id, state, finished_number AS n FROM jobs WHERE batch_id = %(id)s", {"id": batch.id}
        )
        assert sorted(row["n"] for row in rows) == list(range(1, 61))
        assert {row["id"] for row in rows if row["state"] == "succeeded"} == succeeded
        assert {row["state"] for row in rows if row["id"] not in succeeded} <= {ending}
        told_of = await database.fetch(
            "SELECT type FROM webhook_events WHERE object_id = %(id)s", {"id": "batch_" + batch.id.hex}
        )
        assert [row["type"] for row in told_of] == [f"batch.{ending}"]


async def test_a_cancelled_job_that_went_back_to_the_backlog_ends(database: Database):
    """Its worker put it off in the moment in which somebody asked for its end, and the asking process died."""
    worker = new_id()
    job_id = await running_single(database, worker)
    assert await jobs.request_cancel(database, "team", job_id) == "running"
    await jobs.give_up(database, worker, {job_id: (1, 0)})
    # it could be taken, but nobody can claim it: without the sweep it would go round for ever
    assert await take(database, 1) == [job_id]
    assert await jobs.claim(database, worker, POOL, "bulk", [job_id]) == []
    assert await stops.end_flagged(database, 10) == 1
    assert await state_of(database, job_id) == "cancelled"
    assert await events_of(database, job_id) == ["job.cancelled"]


async def test_a_job_whose_window_closes_expires_wherever_it_is(database: Database):
    worker = new_id()
    works, other = await running_single(database, worker, 3600), await running_single(database, worker)
    waiting = await add_single(database, 3600)
    await database.execute("UPDATE jobs SET expires_at = now() - interval '1 second' WHERE expires_at IS NOT NULL")
    assert await stops.flag_expired_jobs(database, 10) == 2
    assert await stops.running(database, 10) == [Stop(works, "expired")]
    assert await stops.end_flagged(database, 10) == 1
    await database.execute(
        "UPDATE jobs SET cancel_requested_at = cancel_requested_at - interval '1 minute',"
        " expires_at = expires_at - interval '2 minutes'"
    )
    assert await stops.end_flagged(database, 10) == 1
    assert [await state_of(database, job_id) for job_id in (waiting, works, other)] == [
        "expired", "expired", "running",
    ]  # fmt: skip
    assert await events_of(database, works) == ["job.expired"]


async def test_a_worker_that_did_not_hear_is_told_again(database: Database, redis: Redis):
    sweeps = Maintenance(database, redis, Doorbell(make_app("memory://", ["p"])), Deployments(Config()), Config())
    worker = new_id()
    job_id = await running_single(database, worker)
    await jobs.request_cancel(database, "team", job_id)
    async with redis.pubsub(ignore_subscribe_messages=True) as pubsub:
        await pubsub.subscribe(control_channel())
        await pubsub.get_message(timeout=1)
        await sweeps.stop_jobs()
        while (message := await pubsub.get_message(timeout=5)) is None:
            pass
    assert loads(message["data"]) == ["job", job_id.hex, "cancelled"]
    assert await state_of(database, job_id) == "running"
