"""Jobs that go on at another deployment, with what their route's steps answered so far."""

from collections.abc import Sequence
from uuid import UUID

from penstock.completion.step import RouteStep
from penstock.store import flows
from penstock.store import steps as step_store
from penstock.store.database import Database


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
