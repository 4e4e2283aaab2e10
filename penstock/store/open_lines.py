"""The lines of a batch that is to end: those nobody runs end at once, the workers of the others get some seconds."""

from uuid import UUID

from penstock.store.database import Database

_END_LINES = """
    WITH page AS (
        SELECT id, line, state FROM jobs WHERE batch_id = %(id)s AND line > %(after)s ORDER BY line LIMIT %(limit)s
    ), open AS (
        SELECT array_agg(id) AS ids FROM page WHERE state IN ('pending', 'queued', 'running')
    ), wanted AS (
        SELECT id FROM jobs WHERE id = ANY((SELECT ids FROM open)::uuid[]) AND (state IN ('pending', 'queued')
            OR state = 'running' AND cancel_requested_at < now() - interval '10 seconds')
        ORDER BY id FOR UPDATE SKIP LOCKED
    ), flagged AS (
        UPDATE jobs SET cancel_requested_at = now() WHERE id = ANY(ARRAY(
            SELECT id FROM jobs
            WHERE id = ANY((SELECT ids FROM open)::uuid[]) AND state = 'running' AND cancel_requested_at IS NULL
            ORDER BY id FOR UPDATE SKIP LOCKED))
    ), locked AS (
        SELECT id, finished FROM batches WHERE id = %(id)s AND EXISTS (SELECT FROM wanted) FOR UPDATE
    ), numbered AS (
        SELECT w.id, (SELECT finished FROM locked) + row_number() OVER (ORDER BY w.id) AS number FROM wanted w
    ), ended AS (
        UPDATE jobs j SET state = %(state)s::job_state, finished_at = now(), finished_number = n.number
        FROM numbered n WHERE j.id = n.id RETURNING j.id
    ), counted AS (
        UPDATE batches SET finished = finished + (SELECT count(*) FROM ended)
        WHERE id = %(id)s AND EXISTS (SELECT FROM ended)
    )
    SELECT (SELECT count(*) FROM ended)::int AS ended, (SELECT max(line) FROM page) AS last
"""


async def end_page(database: Database, batch_id: UUID, state: str, after: int, limit: int) -> tuple[int, int | None]:
    """End the lines of a flagged batch that no worker runs, or whose worker did not answer in 10 s.

    The batch is walked once, by its lines, `limit` of them after the line `after` in a statement: asked for those that
    are left, each statement would pass over all that have ended (a million lines took longer than eight minutes).

    Returns:
        How many ended, and the last line looked at; None when there was none.
    """
    row = await database.fetch_one(_END_LINES, {"id": batch_id, "state": state, "after": after, "limit": limit})
    assert row is not None  # it is of counts
    return int(row["ended"]), row["last"]
