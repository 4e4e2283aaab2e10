"""Models asked at once, one of which answers before the other: what the next claim finds of it, and what it pays."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import pytest
from integration.store.test_jobs import POOL, add_jobs, take

from penstock import tasks
from penstock.cache.policy import Wish
from penstock.completion import CompletionRequest, CompletionResult, ResultPart, Usage
from penstock.completion.outcome import Outcome
from penstock.completion.step import Verdict
from penstock.errors import ProviderUnreachable
from penstock.execution.accept import Escalation
from penstock.execution.escalate import Stages
from penstock.execution.record import CallRecord
from penstock.execution.work import Work
from penstock.ids import new_id
from penstock.store import attempts as attempt_store
from penstock.store import finish, flows, hops, jobs, workers
from penstock.store import steps as step_store
from penstock.store.database import Database
from penstock.store.finish import Attempt
from penstock.store.jobs import ClaimedJob
from workers.early_answers import EarlyAnswers

REQUEST = CompletionRequest(model="both", messages=())
UNIT = Decimal("0.01")


async def distrusts(*_: object) -> Verdict:
    return Verdict(False, 0.5, "unlike")


class Models:
    """Answers with the name of the model; those `held` never do."""

    def __init__(self, *held: str) -> None:
        self.held = set(held)
        self.failing: set[str] = set()
        self.asked: list[str] = []

    async def answer(self, work: Work) -> Outcome:
        self.asked.append(work.deployment)
        if work.deployment in self.held:
            await asyncio.Event().wait()
        failed = work.deployment in self.failing
        work.record.attempts.append(
            Attempt(
                job_id=work.job.id, epoch=work.job.epoch, step=len(work.record.attempts), deployment=work.deployment,
                started_at=datetime.now(UTC), outcome="failed" if failed else "succeeded", latency_ms=1,
                usage=Usage(3, 4), cost=UNIT,
            )
        )  # fmt: skip
        if failed:
            raise ProviderUnreachable("away")
        part = ResultPart("text", work.deployment)
        return Outcome(result=CompletionResult((part,), ((0, 1, 0),), ("stop",), Usage(3, 4)))


def stages(models: Models, early: EarlyAnswers) -> Stages:
    return Stages(models.answer, lambda _: 0.0, lambda _: frozenset({"unavailable"}), lambda *_, **__: None, early)


@asynccontextmanager
async def working(database: Database) -> AsyncIterator[EarlyAnswers]:
    """The early answers of one worker, committed as they come until it is killed."""
    worker = new_id()
    await workers.register(database, worker, "bulk", "here", 1)
    early = EarlyAnswers(database, worker)
    running = asyncio.create_task(early.run())
    yield early
    await tasks.end(running)


async def claimed(database: Database, job_id: Any) -> ClaimedJob:
    worker = new_id()
    await workers.register(database, worker, "bulk", "here", 1)
    await database.execute("UPDATE jobs SET state = 'pending' WHERE id = %(id)s", {"id": job_id})
    await take(database, 1)
    (job,) = await jobs.claim(database, worker, POOL, "bulk", [job_id])
    return replace(job, fallback=["second"])


def work_of(job: ClaimedJob) -> Work:
    return Work(job, REQUEST, Wish(), CallRecord(job.id, job.epoch), None, job.deployment, 10)


async def killed(database: Database, job: ClaimedJob, models: Models, route: Escalation) -> None:
    """Work on a job until its quick model's answer is kept, and end without a word."""
    async with working(database) as early:
        task = asyncio.create_task(stages(models, early).run(route, work_of(job), REQUEST, [["second"]]))
        while not await step_store.early(database, job.id):
            await asyncio.sleep(0.01)
        task.cancel()
        await asyncio.wait([task])


@pytest.mark.parametrize("quick", [POOL, "second"])
async def test_the_answer_that_was_there_is_not_asked_for_again(database: Database, quick: str):
    route = Escalation("both", distrusts, parallel=2)
    (job_id,) = await add_jobs(database, 1)
    slow = "second" if quick == POOL else POOL
    await killed(database, await claimed(database, job_id), Models(slow), route)

    models, job = Models(), await claimed(database, job_id)
    assert job.epoch == 2
    async with working(database) as early:
        work = work_of(job)
        outcome = await stages(models, early).run(route, work, REQUEST, [["second"]])
    assert models.asked == [slow]
    assert outcome.routing is not None
    assert {(step["deployment"], step["cost"]) for step in outcome.routing["steps"]} == {(POOL, 0.01), ("second", 0.01)}
    assert (work.record.cost, work.record.usage) == (2 * UNIT, Usage(6, 8))
    assert [attempt.deployment for attempt in work.record.attempts] == [slow], "the other is written down already"
    (row,) = await attempt_store.of_job(database, job_id)
    assert (row.deployment, row.epoch, row.cost) == (quick, 1, UNIT)


async def test_a_first_claim_looks_for_nothing_and_the_last_answer_is_not_kept(database: Database):
    """The one that ends the stage is stored with it; a failure is no answer."""
    route = Escalation("both", distrusts, parallel=2)
    (job_id,) = await add_jobs(database, 1)
    models = Models()
    models.failing = {"second"}
    async with working(database) as early:
        job = await claimed(database, job_id)
        models_outcome = await stages(models, early).run(route, work_of(job), REQUEST, [["second"]])
        await early.flush()
        kept = await step_store.early(database, job_id)
    assert models_outcome.result is not None
    assert [step.deployment for step in kept] in ([], [POOL])


async def test_a_call_that_is_written_early_keeps_out_of_the_numbers_of_others(database: Database):
    route = Escalation("both", distrusts, parallel=2)
    (job_id,) = await add_jobs(database, 1)
    async with working(database) as early:
        job, models = await claimed(database, job_id), Models()
        work = work_of(job)
        await stages(models, early).run(route, work, REQUEST, [["second"]])
        await early.flush()
        await finish.finish(database, early._worker_id, [], work.record.attempts)
    rows = await attempt_store.of_job(database, job_id)
    assert sorted(row.deployment for row in rows) == sorted([POOL, "second"])


async def test_early_answers_are_no_steps_and_go_when_nobody_needs_them(database: Database):
    route = Escalation("both", distrusts, parallel=2)
    going, staying = await add_jobs(database, 2)
    jobs_ = [await claimed(database, job_id) for job_id in (going, staying)]
    for job in jobs_:
        await killed(database, job, Models("second"), route)
    assert await step_store.of_jobs(database, [going, staying]) == {}
    assert await step_store.forget_early(database, 10) == 0
    flow_id = await flows.ensure(database, POOL, "bulk", "team")
    worker = (await database.fetch("SELECT worker_id FROM jobs WHERE id = %(id)s", {"id": going}))[0]["worker_id"]
    (step,) = await step_store.early(database, going)
    assert await hops.hop(
        database, worker, going, jobs_[0].epoch, deployment=POOL, flow_id=flow_id, fallback=[], steps=[step]
    )
    assert await step_store.forget_early(database, 10) == 1
    assert [len(await step_store.early(database, job_id)) for job_id in (going, staying)] == [0, 1]
    assert (await step_store.of_jobs(database, [going]))[going] == [step]
