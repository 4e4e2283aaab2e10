"""What is removed by age. Each statement takes a bounded number of rows that nobody holds, and is its own transaction.

Payloads go first: the bytes of files, requests and answers. Slim rows stay to say what there was and what it cost. Call
each again until it says none.
"""

from penstock.store.batches import TERMINAL
from penstock.store.database import Database

#: whoever reads when something expires may finish: what is gone for new readers is removed this much later
GRACE = "interval '1 hour'"
_ENDED = ", ".join(f"'{status}'" for status in sorted(TERMINAL))


async def prune_files(database: Database, limit: int) -> int:
    """Remove the bytes of some files that were deleted or have expired; returns how many rows that took.

    An input file stays while a batch still reads it. Where it was the last of a batch's result files, the batch's lines
    may be purged from now on.
    """
    row = await database.fetch_one(
        f"""
        WITH gone AS (
            SELECT f.id, f.batch_id FROM files f
            WHERE f.pruned_at IS NULL AND (f.deleted_at IS NOT NULL OR f.expires_at IS NOT NULL)
              AND least(f.deleted_at, f.expires_at) < now() - {GRACE}
              AND NOT EXISTS (SELECT FROM batches b WHERE b.input_file_id = f.id
                  AND b.status IN ('validating', 'in_progress', 'cancelling')
                  AND (b.total = 0 OR b.ingested_to < b.total))
            ORDER BY least(f.deleted_at, f.expires_at) LIMIT 20 FOR UPDATE SKIP LOCKED
        ), chunks AS (
            SELECT c.file_id, c.seq FROM file_chunks c WHERE c.file_id IN (SELECT id FROM gone) LIMIT %(limit)s
        ), removed AS (
            DELETE FROM file_chunks c USING chunks d WHERE c.file_id = d.file_id AND c.seq = d.seq
        ), pruned AS (
            UPDATE files SET pruned_at = now()
            WHERE id IN (SELECT id FROM gone) AND (SELECT count(*) FROM chunks) < %(limit)s RETURNING id, batch_id
        ), freed AS (
            UPDATE batches b SET results_gone_at = now()
            WHERE b.id IN (SELECT batch_id FROM pruned) AND b.results_gone_at IS NULL
              AND NOT EXISTS (SELECT FROM files f WHERE f.id IN (b.output_file_id, b.error_file_id)
                  AND f.pruned_at IS NULL AND f.id NOT IN (SELECT id FROM pruned))
        )
        SELECT ((SELECT count(*) FROM chunks) + (SELECT count(*) FROM pruned))::int AS touched
        """,
        {"limit": limit},
    )
    return int(row["touched"]) if row else 0


async def free_batches(database: Database, older_than_seconds: float, limit: int) -> int:
    """Give up the results of batches that ended so long ago; returns how many.

    A result file with a later expiry of its own keeps its batch until then: that was promised when it was made.
    """
    row = await database.fetch_one(
        f"""
        WITH old AS (
            SELECT b.id, b.output_file_id, b.error_file_id FROM batches b
            WHERE b.results_gone_at IS NULL AND b.status IN ({_ENDED})
              AND b.created_at < now() - make_interval(secs => %(age)s)
              AND coalesce(b.completed_at, b.expired_at, b.cancelled_at, b.failed_at)
                  < now() - make_interval(secs => %(age)s)
              AND NOT EXISTS (SELECT FROM files f WHERE f.id IN (b.output_file_id, b.error_file_id)
                  AND f.deleted_at IS NULL AND f.expires_at > now())
            ORDER BY b.created_at LIMIT %(limit)s FOR UPDATE OF b SKIP LOCKED
        ), pruned AS (
            UPDATE files SET pruned_at = now() WHERE pruned_at IS NULL AND id IN (
                SELECT output_file_id FROM old UNION ALL SELECT error_file_id FROM old)
        ), freed AS (
            UPDATE batches SET results_gone_at = now() WHERE id IN (SELECT id FROM old) RETURNING id
        )
        SELECT count(*)::int AS freed FROM freed
        """,
        {"age": older_than_seconds, "limit": limit},
    )
    return int(row["freed"]) if row else 0


async def purge_lines(database: Database, limit: int) -> int:
    """Remove up to `limit` lines of a batch that was deleted or whose results are gone; returns how many.

    The row of the batch stays, with what it cost, and so do the attempts: the money was spent.
    """
    row = await database.fetch_one(
        f"""
        WITH batch AS (
            SELECT id, purged_to FROM batches
            WHERE purged_at IS NULL AND (deleted_at IS NOT NULL OR results_gone_at IS NOT NULL)
              AND (deleted_at IS NOT NULL OR results_gone_at < now() - {GRACE})
            ORDER BY least(deleted_at, results_gone_at) LIMIT 1 FOR UPDATE SKIP LOCKED
        ), wanted AS (
            SELECT j.id, j.line FROM jobs j
            WHERE j.batch_id = (SELECT id FROM batch) AND j.line > (SELECT purged_to FROM batch)
            ORDER BY j.line LIMIT %(limit)s FOR UPDATE
        ), ids AS (
            SELECT array_agg(id) AS list, max(line) AS last, count(*) AS lines FROM wanted
        ), requests AS (
            DELETE FROM job_requests WHERE job_id = ANY((SELECT list FROM ids)::uuid[])
        ), results AS (
            DELETE FROM job_results WHERE job_id = ANY((SELECT list FROM ids)::uuid[])
        ), steps AS (
            DELETE FROM route_steps WHERE job_id = ANY((SELECT list FROM ids)::uuid[])
        ), removed AS (
            DELETE FROM jobs WHERE id = ANY((SELECT list FROM ids)::uuid[])
        ), marked AS (
            UPDATE batches b SET purged_to = coalesce(ids.last, b.purged_to),
                purged_at = CASE WHEN ids.lines < %(limit)s THEN now() END
            FROM ids WHERE b.id = (SELECT id FROM batch)
        )
        SELECT lines::int AS removed FROM ids
        """,
        {"limit": limit},
    )
    return int(row["removed"]) if row else 0


async def prune_jobs(database: Database, older_than_seconds: float, limit: int) -> int:
    """Remove the requests and answers of single jobs that ended so long ago; returns how many. Their rows stay."""
    return await _prune_jobs(
        database, "finished_at < now() - make_interval(secs => %(age)s)", "finished_at", older_than_seconds, limit
    )


async def prune_deleted_jobs(database: Database, limit: int) -> int:
    """As `prune_jobs`, of those that were deleted."""
    where = f"deleted_at < now() - {GRACE} AND finished_at IS NOT NULL"
    return await _prune_jobs(database, where, "deleted_at", 0.0, limit)


async def _prune_jobs(database: Database, where: str, order: str, age: float, limit: int) -> int:
    row = await database.fetch_one(
        f"""
        WITH wanted AS (
            SELECT id FROM jobs WHERE batch_id IS NULL AND pruned_at IS NULL AND {order} IS NOT NULL AND {where}
            ORDER BY {order} LIMIT %(limit)s FOR UPDATE SKIP LOCKED
        ), ids AS (
            SELECT array_agg(id) AS list FROM wanted
        ), requests AS (
            DELETE FROM job_requests WHERE job_id = ANY((SELECT list FROM ids)::uuid[])
        ), results AS (
            DELETE FROM job_results WHERE job_id = ANY((SELECT list FROM ids)::uuid[])
        ), steps AS (
            DELETE FROM route_steps WHERE job_id = ANY((SELECT list FROM ids)::uuid[])
        ), marked AS (
            UPDATE jobs SET pruned_at = now() WHERE id = ANY((SELECT list FROM ids)::uuid[])
        )
        SELECT count(*)::int AS pruned FROM wanted
        """,
        {"age": age, "limit": limit},
    )
    return int(row["pruned"]) if row else 0


async def forget_jobs(database: Database, older_than_seconds: float, limit: int) -> int:
    """Remove the rows of single jobs that ended so long ago and have no payload any more; returns how many."""
    return await database.execute(
        """
        DELETE FROM jobs WHERE id = ANY(ARRAY(
            SELECT id FROM jobs WHERE pruned_at IS NOT NULL
              AND finished_at < now() - make_interval(secs => %(age)s)
            ORDER BY finished_at LIMIT %(limit)s FOR UPDATE SKIP LOCKED))
        """,
        {"age": older_than_seconds, "limit": limit},
    )


async def forget_attempts(database: Database, older_than_seconds: float, limit: int) -> int:
    """Remove the record of calls made so long ago; returns how many."""
    return await database.execute(
        """
        DELETE FROM attempts WHERE ctid = ANY(ARRAY(
            SELECT ctid FROM attempts WHERE started_at < now() - make_interval(secs => %(age)s)
            LIMIT %(limit)s FOR UPDATE SKIP LOCKED))
        """,
        {"age": older_than_seconds, "limit": limit},
    )
