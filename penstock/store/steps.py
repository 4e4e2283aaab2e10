"""What the routes of jobs answered on their way and did not give, with what each answer cost and was thought of.

Steps are numbered from 1. Below 0 are early answers: those of models that were asked at once with others, kept while
these were under way.
"""

from collections.abc import Sequence
from decimal import Decimal
from typing import Any
from uuid import UUID

from penstock.completion.encoding import dumps, loads, pack, unpack
from penstock.completion.result import CompletionResult
from penstock.completion.step import RouteStep
from penstock.completion.usage import Usage
from penstock.store.database import Database

#: rows of the arrays of `arrays`: `job_id`, `place` (from 1, within what is added of a job) and the columns
ROWS = """unnest(%(s_jobs)s::uuid[], %(s_places)s::int[], %(s_deployments)s::text[], %(s_confidences)s::real[],
        %(s_reasons)s::text[], %(s_usages)s::text[], %(s_costs)s::numeric[], %(s_bodies)s::bytea[],
        %(s_signals)s::bytea[])
    AS s(job_id, place, deployment, confidence, reason, usage, cost, body, signals)"""
#: the columns, and what of `ROWS` goes into them but the job and the number
COLUMNS = "job_id, step, deployment, confidence, reason, usage, cost, body, signals"
VALUES = "s.deployment, s.confidence, s.reason, s.usage::int[], s.cost, s.body, s.signals"


def arrays(steps: Sequence[tuple[UUID, Sequence[RouteStep]]]) -> dict[str, Any]:
    """The parameters of `ROWS`. A row's usage is an array itself, and so is told as text."""
    rows = [(job_id, place, step) for job_id, mine in steps for place, step in enumerate(mine, 1)]
    return {
        "s_jobs": [job_id for job_id, _, _ in rows],
        "s_places": [place for _, place, _ in rows],
        "s_deployments": [step.deployment for _, _, step in rows],
        "s_confidences": [step.confidence for _, _, step in rows],
        "s_reasons": [step.reason for _, _, step in rows],
        "s_usages": [f"{{{','.join(map(str, step.usage.to_json()))}}}" for _, _, step in rows],
        "s_costs": [step.cost for _, _, step in rows],
        "s_bodies": [pack(dumps(step.result.to_json())) for _, _, step in rows],
        "s_signals": [dumps(dict(step.signals)) for _, _, step in rows],
    }


async def of_jobs(database: Database, job_ids: Sequence[UUID]) -> dict[UUID, list[RouteStep]]:
    """What the routes of jobs have answered so far and not accepted, in the order of their steps."""
    rows = await database.fetch(
        """
        SELECT job_id, deployment, confidence, reason, usage, cost, body, signals FROM route_steps
        WHERE job_id = ANY(%(ids)s) AND step > 0 ORDER BY job_id, step
        """,
        {"ids": list(job_ids)},
    )
    found: dict[UUID, list[RouteStep]] = {}
    for row in rows:
        found.setdefault(row["job_id"], []).append(_step(row))
    return found


async def keep_early(database: Database, answers: Sequence[tuple[UUID, int, RouteStep]]) -> None:
    """Keep early answers, each by its job and its place (from 0) among the models asked at once."""
    await database.execute(
        f"""
        INSERT INTO route_steps ({COLUMNS})
        SELECT s.job_id, s.place, {VALUES} FROM {ROWS}
        ON CONFLICT (job_id, step) DO NOTHING
        """,
        {
            **arrays([(job_id, [step]) for job_id, _, step in answers]),
            "s_places": [-1 - place for _, place, _ in answers],
        },
    )


async def early(database: Database, job_id: UUID) -> list[RouteStep]:
    """The early answers of a job's first stage, by their places."""
    rows = await database.fetch(
        "SELECT deployment, confidence, reason, usage, cost, body, signals FROM route_steps"
        " WHERE job_id = %(id)s AND step < 0 ORDER BY step DESC",
        {"id": job_id},
    )
    return [_step(row) for row in rows]


async def forget_early(database: Database, limit: int) -> int:
    """Remove early answers of jobs that have ended or gone on; returns how many."""
    return await database.execute(
        """
        DELETE FROM route_steps WHERE (job_id, step) IN (
            SELECT s.job_id, s.step FROM route_steps s LEFT JOIN jobs j ON j.id = s.job_id
            WHERE s.step < 0 AND (j.id IS NULL OR j.route_step > 0 OR j.state NOT IN ('pending', 'queued', 'running'))
            LIMIT %(limit)s)
        """,
        {"limit": limit},
    )


def _step(row: dict[str, Any]) -> RouteStep:
    cost: Decimal | None = row["cost"]
    return RouteStep(
        deployment=row["deployment"],
        result=CompletionResult.from_json(loads(unpack(row["body"]))),
        accepted=False,
        confidence=row["confidence"],
        reason=row["reason"],
        usage=Usage.from_json(row["usage"]),
        cost=cost,
        signals=loads(row["signals"]) if row["signals"] is not None else {},
    )
