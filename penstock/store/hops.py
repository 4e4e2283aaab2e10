"""Jobs that go on at another deployment, and what their route's steps answered so far."""

from collections.abc import Sequence
from decimal import Decimal
from typing import Any
from uuid import UUID

from penstock.completion.encoding import dumps, loads, pack, unpack
from penstock.completion.result import CompletionResult
from penstock.completion.step import RouteStep
from penstock.completion.usage import Usage
from penstock.store import flows
from penstock.store.database import Database

#: jobs that are looked at to see how often routes go on
_NEWEST = 20_000


async def hop(
    database: Database,
    worker_id: UUID,
    job_id: UUID,
    epoch: int,
    *,
    deployment: str,
    flow_id: int,
    fallback: list[str],
    step: RouteStep | None = None,
) -> bool:
    """Move a running job of this worker to another deployment, with what is left to ask after that.

    A job with a client waiting goes into that deployment's queue, and its doorbell must be rung; another one joins the
    backlog there. Its place in the order is what its age makes it: first. A `step` is the answer that was not accepted
    here; it is stored in the same statement, so that it is there when the next one is judged.

    Returns:
        False when the job is this worker's no more, or its again by a newer claim.
    """
    row = await database.fetch_one(
        """
        WITH moved AS (
            UPDATE jobs SET deployment = %(deployment)s, flow_id = %(flow_id)s, fallback = %(fallback)s, failures = 0,
                route_step = route_step + %(answered)s::smallint,
                state = CASE lane WHEN 'interactive' THEN 'queued' ELSE 'pending' END::job_state,
                queued_at = CASE lane WHEN 'interactive' THEN now() END
            WHERE id = %(id)s AND state = 'running' AND worker_id = %(worker_id)s AND epoch = %(epoch)s
            RETURNING flow_id, priority, id, route_step
        ), answered AS (
            INSERT INTO route_steps (job_id, step, deployment, confidence, reason, usage, cost, body)
            SELECT id, route_step, %(from)s::text, %(confidence)s::real, %(reason)s::text, %(usage)s::int[],
                   %(cost)s::numeric, %(body)s::bytea
            FROM moved WHERE %(answered)s::smallint > 0
        ), """
        + f"{flows.HEADS}, woken AS ({flows.WAKE})"
        + """
        SELECT count(*)::int AS moved FROM moved
        """,
        {
            "id": job_id,
            "worker_id": worker_id,
            "epoch": epoch,
            "deployment": deployment,
            "flow_id": flow_id,
            "fallback": fallback or None,
            **_values(step),
        },
    )
    return bool(row and row["moved"])


def _values(step: RouteStep | None) -> dict[str, Any]:
    if step is None:
        return {"answered": 0, **dict.fromkeys(("from", "confidence", "reason", "usage", "cost", "body"))}
    return {
        "answered": 1,
        "from": step.deployment,
        "confidence": step.confidence,
        "reason": step.reason,
        "usage": step.usage.to_json(),
        "cost": step.cost,
        "body": pack(dumps(step.result.to_json())),
    }


async def steps_of(database: Database, job_ids: Sequence[UUID]) -> dict[UUID, list[RouteStep]]:
    """What the routes of jobs have answered so far and not accepted, in the order of their steps."""
    rows = await database.fetch(
        """
        SELECT job_id, deployment, confidence, reason, usage, cost, body FROM route_steps
        WHERE job_id = ANY(%(ids)s) ORDER BY job_id, step
        """,
        {"ids": list(job_ids)},
    )
    found: dict[UUID, list[RouteStep]] = {}
    for row in rows:
        found.setdefault(row["job_id"], []).append(_step(row))
    return found


async def went_on(database: Database, tenant_id: str, routes: Sequence[str]) -> dict[str, list[int]]:
    """By escalating route: how many of a tenant's latest answered jobs were asked a first, a second, … step.

    Only the newest jobs of all tenants are looked at, so that it costs the same however many there are.
    """
    rows = await database.fetch(
        """
        SELECT model, route_step, count(*)::int AS jobs FROM (
            SELECT model, route_step, tenant_id, state FROM jobs ORDER BY id DESC LIMIT %(newest)s
        ) latest
        WHERE tenant_id = %(tenant_id)s AND model = ANY(%(routes)s) AND state = 'succeeded'
        GROUP BY model, route_step
        """,
        {"tenant_id": tenant_id, "routes": list(routes), "newest": _NEWEST},
    )
    found: dict[str, list[int]] = {}
    for row in rows:
        asked = found.setdefault(row["model"], [])
        asked.extend([0] * (row["route_step"] + 1 - len(asked)))
        for step in range(row["route_step"] + 1):
            asked[step] += row["jobs"]
    return found


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
    )
