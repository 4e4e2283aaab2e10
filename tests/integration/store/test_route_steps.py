"""A job that goes on along its route takes along what was answered."""

from decimal import Decimal

from integration.store.test_jobs import POOL, add_jobs, take

from penstock.completion.result import CompletionResult, ResultPart
from penstock.completion.step import RouteStep
from penstock.completion.usage import Usage
from penstock.ids import new_id
from penstock.store import finish, flows, hops, jobs, workers
from penstock.store import steps as step_store
from penstock.store.database import Database


def answered(text: str, cost: str | None) -> RouteStep:
    result = CompletionResult((ResultPart("text", text),), ((0, len(text), 0),), ("stop",), Usage(3, 4))
    return RouteStep(
        POOL, result, False, 0.25, "unlike the other", Usage(3, 4), Decimal(cost) if cost else None, {"need": 0.5}
    )


async def test_steps_are_kept_in_order_and_found_by_the_next_claim(database: Database):
    worker, (job_id,) = new_id(), await add_jobs(database, 1)
    await workers.register(database, worker, "bulk", "here", 1)
    steps = [answered("first \u2028 é", "0.02"), answered("second", None)]
    for number, step in enumerate(steps):
        await take(database, 1)
        (job,) = await jobs.claim(database, worker, POOL, "bulk", [job_id])
        assert job.route_step == number
        assert (await step_store.of_jobs(database, [job_id])).get(job_id, []) == steps[:number]
        flow_id = await flows.ensure(database, POOL, "bulk", "team")
        assert await hops.hop(
            database, worker, job_id, job.epoch, deployment=POOL, flow_id=flow_id, fallback=["model-b"], steps=[step]
        )
    assert (await step_store.of_jobs(database, [job_id, new_id()])) == {job_id: steps}


async def test_who_does_not_own_the_job_adds_nothing(database: Database):
    worker, (job_id,) = new_id(), await add_jobs(database, 1)
    await workers.register(database, worker, "bulk", "here", 1)
    await take(database, 1)
    await jobs.claim(database, worker, POOL, "bulk", [job_id])
    flow_id = await flows.ensure(database, POOL, "bulk", "team")
    for owner, epoch in ((new_id(), 1), (worker, 0), (worker, 2)):
        assert not await hops.hop(
            database, owner, job_id, epoch, deployment=POOL, flow_id=flow_id, fallback=[], steps=[answered("x", "1")]
        )
    assert await step_store.of_jobs(database, [job_id]) == {}


async def test_several_at_once_are_kept_in_their_order_also_where_the_job_ends(database: Database):
    worker, (job_id,) = new_id(), await add_jobs(database, 1)
    await workers.register(database, worker, "bulk", "here", 1)
    flow_id = await flows.ensure(database, POOL, "bulk", "team")
    three = [answered(text, "0.01") for text in ("a", "b", "c")]
    await take(database, 1)
    (job,) = await jobs.claim(database, worker, POOL, "bulk", [job_id])
    assert await hops.hop(
        database, worker, job_id, job.epoch, deployment=POOL, flow_id=flow_id, fallback=["model-b"], steps=three[:2]
    )
    await take(database, 1)
    (job,) = await jobs.claim(database, worker, POOL, "bulk", [job_id])
    assert job.route_step == 2
    done = finish.FinishedJob(
        id=job_id, epoch=job.epoch, state="succeeded", status_code=200, body=b"{}", line_bytes=None, usage=Usage(),
        cost=None, steps=(three[2],),
    )  # fmt: skip
    assert (await finish.finish(database, worker, [done])).ended == {job_id}
    await finish.finish(database, worker, [done])
    assert await step_store.of_jobs(database, [job_id]) == {job_id: three}
