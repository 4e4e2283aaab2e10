"""What is to stop: because its window closed, or because somebody asked.

A batch is flagged as a whole, and the flag ends its lines (`open_lines.end_page`). A single job is flagged by whoever
asks (`jobs.request_cancel`), who rings its worker too; the statements here find what a lost ring, a worker that did not
hear it or an API process that died left behind. The first terminal write of a job wins all the same.
"""

from dataclasses import dataclass
from uuid import UUID

from penstock.rules.lifecycle import JobState
from penstock.store.database import Database
from penstock.store.webhooks import EVENTS_OF_ENDED

#: a worker has so many seconds to close a call it was told to close; then the job ends without it
PATIENCE_SECONDS = 10

#: what a flagged job ends as: the flag of one whose window closed was set by the sweep, after that
_END = "CASE WHEN cancel_requested_at >= expires_at THEN 'expired' ELSE 'cancelled' END"


@dataclass(frozen=True, slots=True)
class Stop:
    """A running job whose worker is to close its call, and what it ends as."""

    job_id: UUID
    end: JobState


async def flag_expired_batches(database: Database) -> list[UUID]:
    """Flag every open batch whose completion window closed."""
    rows = await database.fetch(
        """
        UPDATE batches SET ending = 'expired'
        WHERE status IN ('validating', 'in_progress') AND ending IS NULL AND expires_at < now() RETURNING id
        """
    )
    return [row["id"] for row in rows]


async def flag_expired_jobs(database: Database, limit: int) -> int:
    """Ask for the end of single jobs whose window closed; returns how many."""
    return await database.execute(
        """
        UPDATE jobs SET cancel_requested_at = now() WHERE id = ANY(ARRAY(
            SELECT id FROM jobs
            WHERE expires_at < now() AND batch_id IS NULL AND state IN ('pending', 'queued', 'running')
              AND cancel_requested_at IS NULL
            ORDER BY id LIMIT %(limit)s FOR UPDATE SKIP LOCKED))
        """,
        {"limit": limit},
    )


async def end_flagged(database: Database, limit: int) -> int:
    """End flagged single jobs that nobody runs, or whose worker did not answer in time; returns how many."""
    row = await database.fetch_one(
        f"""
        WITH wanted AS (
            SELECT id FROM jobs
            WHERE cancel_requested_at IS NOT NULL AND batch_id IS NULL AND state IN ('pending', 'queued', 'running')
              AND (state <> 'running' OR cancel_requested_at < now() - make_interval(secs => %(patience)s))
            ORDER BY id LIMIT %(limit)s FOR UPDATE SKIP LOCKED
        ), ended AS (
            UPDATE jobs SET finished_at = now(), state = ({_END})::job_state
            WHERE id = ANY(ARRAY(SELECT id FROM wanted)) RETURNING *
        ), events AS ({EVENTS_OF_ENDED})
        SELECT count(*)::int AS ended FROM ended
        """,
        {"limit": limit, "patience": PATIENCE_SECONDS},
    )
    return int(row["ended"]) if row else 0


async def running(database: Database, limit: int) -> list[Stop]:
    """Flagged single jobs that a worker still runs."""
    rows = await database.fetch(
        f"""
        SELECT id, {_END} AS "end" FROM jobs
        WHERE cancel_requested_at IS NOT NULL AND batch_id IS NULL AND state = 'running' LIMIT %(limit)s
        """,
        {"limit": limit},
    )
    return [Stop(row["id"], row["end"]) for row in rows]
