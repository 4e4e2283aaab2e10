"""Jobs that go on at another deployment, with what their route's steps answered so far."""

from collections.abc import Sequence
from uuid import UUID

from penstock.completion.step import RouteStep
from penstock.store import flows
from penstock.store import steps as step_store
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
    steps: Sequence[RouteStep] = (),
) -> bool:
    """Move a running job of this worker to another deployment, with what is left to ask after that.

    A job with a client waiting goes into that deployment's queue, and its doorbell must be rung; another one joins the
    backlog there. Its place in the order is what its age makes it: first. The `steps` are answers that were not
    accepted here; they are stored in the same statement, so that they are there when the next one is judged.

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
        """
        + f"""
            INSERT INTO route_steps ({step_store.COLUMNS})
            SELECT m.id, m.route_step - %(answered)s::smallint + s.place, {step_store.VALUES}
            FROM {step_store.ROWS} JOIN moved m ON m.id = s.job_id
        ), {flows.HEADS}, woken AS ({flows.WAKE})
        SELECT count(*)::int AS moved FROM moved
        """,
        {
            "id": job_id,
            "worker_id": worker_id,
            "epoch": epoch,
            "deployment": deployment,
            "flow_id": flow_id,
            "fallback": fallback or None,
            "answered": len(steps),
            **step_store.arrays([(job_id, steps)]),
        },
    )
    return bool(row and row["moved"])


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
