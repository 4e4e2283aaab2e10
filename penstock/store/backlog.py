"""What waits, and what was left behind: the counts the dispatcher needs and the sweeps that keep promises."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from uuid import UUID

from psycopg.rows import class_row

from penstock.completion.encoding import unpack
from penstock.completion.outcome import Outcome
from penstock.errors import PenstockError, error_to_json
from penstock.store import flows, jobs
from penstock.store.database import Database
from penstock.store.jobs import ClaimedJob
from penstock.store.webhooks import EVENTS_OF_ENDED


@dataclass(frozen=True, slots=True)
class Queued:
    """How many jobs of a deployment and lane were handed to its queue and not yet claimed."""

    deployment: str
    lane: str
    jobs: int
    tokens: int


async def queued(database: Database) -> list[Queued]:
    """The fill of every window."""
    rows = await database.fetch(
        "SELECT deployment, lane, count(*)::int AS jobs, sum(tokens)::bigint AS tokens"
        " FROM jobs WHERE state = 'queued' GROUP BY deployment, lane"
    )
    return [Queued(**row) for row in rows]


async def unfinished(database: Database) -> dict[tuple[str, str], int]:
    """How many jobs of each deployment are pending, queued or running, by (deployment, state)."""
    rows = await database.fetch(
        """
        SELECT deployment, state::text AS state, count(*)::int AS jobs FROM jobs
        WHERE state IN ('pending', 'queued', 'running') GROUP BY deployment, state
        """
    )
    return {(row["deployment"], row["state"]): row["jobs"] for row in rows}


async def lost_rings(
    database: Database, deployment: str, lane: str, older_than_seconds: float, limit: int
) -> list[UUID]:
    """Jobs of a deployment and lane whose doorbell nobody answered."""
    rows = await database.fetch(
        """
        SELECT id FROM jobs WHERE state = 'queued' AND deployment = %(deployment)s AND lane = %(lane)s
          AND queued_at < now() - make_interval(secs => %(age)s)
        ORDER BY queued_at LIMIT %(limit)s
        """,
        {"deployment": deployment, "lane": lane, "age": older_than_seconds, "limit": limit},
    )
    return [row["id"] for row in rows]


async def overtaken(
    database: Database, deployment: str, lane: str, seconds: float, job_ids: Sequence[UUID]
) -> list[UUID]:
    """Of queued jobs, those that came into their queue so long before one that runs now: queues serve in order."""
    rows = await database.fetch(
        """
        SELECT id FROM jobs WHERE id = ANY(%(ids)s) AND state = 'queued'
          AND queued_at + make_interval(secs => %(seconds)s) < (
            SELECT max(queued_at) FROM jobs WHERE state = 'running' AND deployment = %(deployment)s AND lane = %(lane)s)
        """,
        {"ids": list(job_ids), "deployment": deployment, "lane": lane, "seconds": seconds},
    )
    return [row["id"] for row in rows]


async def streamed_by(database: Database, worker_id: UUID, limit: int) -> list[ClaimedJob]:
    """Running background jobs of a worker whose answers are told in a vendor's dialect as they come."""
    async with database.connection() as connection, connection.cursor(row_factory=class_row(ClaimedJob)) as cursor:
        await cursor.execute(
            jobs.CLAIMED.format(jobs="jobs")
            + """
            WHERE c.state = 'running' AND c.worker_id = %(worker_id)s AND c.background AND c.batch_id IS NULL
              AND c.dialect <> 'job' AND c.cancel_requested_at IS NULL
            ORDER BY c.id LIMIT %(limit)s
            """,
            {"worker_id": worker_id, "limit": limit},
        )
        return [replace(job, body=unpack(job.body)) for job in await cursor.fetchall()]


async def recover(database: Database, worker_ids: Sequence[UUID], limit: int, max_recoveries: int) -> int:
    """Put the running jobs of dead workers back into the backlog; returns how many.

    A job recovered more than `max_recoveries` times stays where it is: `poisoned` ends it.
    """
    row = await database.fetch_one(
        """
        WITH lost AS (
            SELECT id FROM jobs WHERE state = 'running' AND worker_id = ANY(%(workers)s)
              AND recoveries < %(max_recoveries)s AND cancel_requested_at IS NULL
            ORDER BY id LIMIT %(limit)s FOR UPDATE SKIP LOCKED
        ), moved AS (
            UPDATE jobs SET state = 'pending', recoveries = recoveries + 1
            WHERE id = ANY(ARRAY(SELECT id FROM lost)) RETURNING flow_id, priority, id
        ), """
        + f"{flows.HEADS}, woken AS ({flows.WAKE})"
        + """
        SELECT count(*)::int AS moved FROM moved
        """,
        {"workers": list(worker_ids), "limit": limit, "max_recoveries": max_recoveries},
    )
    return int(row["moved"]) if row else 0


async def end_stuck(database: Database, worker_ids: Sequence[UUID], max_recoveries: int, limit: int) -> int:
    """End running jobs of dead workers that may not run again: recovered too often, or asked to stop.

    Returns:
        How many; batch counters and webhook events follow in the same statement.
    """
    message = f"The job took down its worker {max_recoveries} times and is not tried again."
    body = Outcome(error=error_to_json(PenstockError(message, code="too_many_recoveries"))).to_bytes()
    row = await database.fetch_one(
        """
        WITH wanted AS (
            SELECT id, batch_id, cancel_requested_at IS NOT NULL AS cancelled FROM jobs
            WHERE state = 'running' AND worker_id = ANY(%(workers)s)
              AND (recoveries >= %(max_recoveries)s OR cancel_requested_at IS NOT NULL)
            ORDER BY id LIMIT %(limit)s FOR UPDATE SKIP LOCKED
        ), locked AS (
            SELECT id, finished FROM batches WHERE id IN (SELECT batch_id FROM wanted) ORDER BY id FOR UPDATE
        ), numbered AS (
            SELECT w.id, w.cancelled, w.batch_id, b.ending,
                   l.finished + row_number() OVER (PARTITION BY w.batch_id ORDER BY w.id) AS number
            FROM wanted w LEFT JOIN locked l ON l.id = w.batch_id LEFT JOIN batches b ON b.id = w.batch_id
        ), ended AS (
            UPDATE jobs j SET finished_at = now(), finished_number = n.number,
                state = CASE WHEN n.cancelled THEN coalesce(n.ending, 'cancelled') ELSE 'failed' END::job_state,
                status_code = CASE WHEN n.cancelled THEN NULL ELSE 500 END
            FROM numbered n WHERE j.id = n.id
            RETURNING j.id, j.batch_id, j.state, j.tenant_id, j.dialect, j.background, j.callback_url
        ), stored AS (
            INSERT INTO job_results (job_id, body) SELECT id, %(body)s FROM ended WHERE state = 'failed'
            ON CONFLICT (job_id) DO NOTHING
        ), counted AS (
            UPDATE batches b SET finished = b.finished + c.ended, failed = b.failed + c.failed
            FROM (SELECT batch_id, count(*) AS ended, count(*) FILTER (WHERE state = 'failed') AS failed
                  FROM ended WHERE batch_id IS NOT NULL GROUP BY batch_id) c
            WHERE b.id = c.batch_id
        ), """
        + f"events AS ({EVENTS_OF_ENDED})"
        + """
        SELECT count(*)::int AS ended FROM ended
        """,
        {"workers": list(worker_ids), "max_recoveries": max_recoveries, "limit": limit, "body": body},
    )
    return int(row["ended"]) if row else 0
