"""Jobs: inserted, taken from the backlog, claimed, finished, handed back. Each is one statement over arrays.

Rows of a group are locked in id order, batches in batch order: unordered, overlapping groups deadlock.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any
from uuid import UUID

from psycopg.rows import class_row

from penstock.completion.encoding import pack, unpack
from penstock.errors import NotFound
from penstock.rules.lifecycle import JobState
from penstock.store import flows
from penstock.store.database import Connection, Database
from penstock.store.webhooks import EVENTS_OF_ENDED


@dataclass(frozen=True, slots=True, kw_only=True)
class NewJob:
    """A job about to be inserted. `body` is the request as submitted, ASCII JSON."""

    id: UUID
    tenant_id: str
    dialect: str
    model: str
    lane: str
    flow_id: int
    deployment: str
    tokens: int
    body: bytes
    priority: int = 0
    state: JobState = "pending"
    background: bool = False
    stream: bool = False
    batch_id: UUID | None = None
    line: int | None = None
    custom_id: str | None = None
    #: of a line: when its batch's window closes
    expires_at: datetime | None = None
    #: of a single job: how long after it was accepted its own does
    window_seconds: int | None = None
    #: deployments that may be asked when this one fails, in this order
    fallback: list[str] | None = None
    #: where its end is told, beside the tenant's endpoints
    callback_url: str | None = None
    #: how a route came to its deployment, as JSON; None where none was asked
    routing: bytes | None = None


@dataclass(frozen=True, slots=True)
class ClaimedJob:
    """A job this worker owns for this epoch.

    `fallback` are the deployments left to ask, `failures` its failed attempts at the present one that count,
    `route_step` is how many steps of its route have answered before.
    """

    id: UUID
    epoch: int
    tenant_id: str
    tier: str
    batch_id: UUID | None
    custom_id: str | None
    dialect: str
    model: str
    lane: str
    deployment: str
    tokens: int
    fallback: list[str] | None
    failures: int
    route_step: int
    background: bool
    stream: bool
    created_at: datetime
    body: bytes
    routing: bytes | None = None


@dataclass(frozen=True, slots=True)
class JobRow:
    """A job as its readers see it."""

    id: UUID
    tenant_id: str
    batch_id: UUID | None
    line: int | None
    custom_id: str | None
    dialect: str
    model: str
    lane: str
    deployment: str
    state: JobState
    epoch: int
    worker_id: UUID | None
    background: bool
    stream: bool
    created_at: datetime
    started_at: datetime | None
    finished_at: datetime | None
    status_code: int | None
    request: bytes | None
    result: bytes | None
    #: of a line of a batch that ended: its place in finishing order, from 1 and without gaps
    finished_number: int | None
    priority: int
    expires_at: datetime | None
    routing: bytes | None = None


#: what one page of a batch's results holds at most
PAGE_ROWS, PAGE_BYTES = 500, 4_000_000

_COLUMNS = (
    "id, tenant_id, batch_id, line, custom_id, dialect, model, lane, flow_id, deployment, priority, tokens,"
    " background, stream, expires_at, fallback, callback_url"
)
#: for binary COPY, in the order of `_COLUMNS`
_TYPES = "uuid text uuid int4 text text text text int8 text int2 int4 bool bool timestamptz text[] text".split()  # noqa: SIM905

_VIEW = """
    SELECT j.id, j.tenant_id, j.batch_id, j.line, j.custom_id, j.dialect, j.model, j.lane, j.deployment, j.state,
           j.epoch, j.worker_id, j.background, j.stream, j.created_at, j.started_at, j.finished_at, j.status_code,
           q.body AS request, r.body AS result, j.finished_number, j.priority, j.expires_at,
           q.routing
    FROM jobs j LEFT JOIN job_requests q ON q.job_id = j.id LEFT JOIN job_results r ON r.job_id = j.id
"""


async def copy(connection: Connection, jobs: Sequence[NewJob]) -> None:
    """Insert many pending jobs and their requests by COPY, inside the caller's transaction."""
    async with connection.cursor() as cursor:
        async with cursor.copy(f"COPY jobs ({_COLUMNS}) FROM STDIN (FORMAT BINARY)") as stream:
            stream.set_types(_TYPES)
            for job in jobs:
                await stream.write_row(_values(job))
        async with cursor.copy("COPY job_requests (job_id, body, routing) FROM STDIN (FORMAT BINARY)") as stream:
            stream.set_types(["uuid", "bytea", "bytea"])
            for job in jobs:
                await stream.write_row((job.id, pack(job.body), job.routing))


def _values(job: NewJob) -> tuple[Any, ...]:
    return (
        job.id, job.tenant_id, job.batch_id, job.line, job.custom_id, job.dialect, job.model, job.lane, job.flow_id,
        job.deployment, job.priority, job.tokens, job.background, job.stream, job.expires_at, job.fallback,
        job.callback_url,
    )  # fmt: skip


async def insert(connection: Connection, job: NewJob) -> datetime:
    """Insert one job and its request in one statement; returns its `created_at`."""
    cursor = await connection.execute(
        f"""
        WITH request AS (
            INSERT INTO job_requests (job_id, body, routing) VALUES (%(id)s, %(body)s, %(routing)s::bytea)
        )
        INSERT INTO jobs ({_COLUMNS}, state, queued_at)
        VALUES (%(id)s, %(tenant_id)s, %(batch_id)s, %(line)s, %(custom_id)s, %(dialect)s, %(model)s, %(lane)s,
                %(flow_id)s, %(deployment)s, %(priority)s, %(tokens)s, %(background)s, %(stream)s,
                coalesce(%(expires_at)s, now() + make_interval(secs => %(window_seconds)s::float8)),
                %(fallback)s, %(callback_url)s, %(state)s::job_state,
                CASE WHEN %(state)s::text = 'queued' THEN now() END)
        RETURNING created_at
        """,
        {**{name: getattr(job, name) for name in NewJob.__slots__}, "body": pack(job.body)},
    )
    row = await cursor.fetchone()
    assert row is not None  # INSERT … RETURNING of one row
    created_at: datetime = row["created_at"]
    return created_at


#: the rows of `ClaimedJob`; `jobs` names the table or the part of the statement that has them, `c`
CLAIMED = """
    SELECT c.id, c.epoch, c.tenant_id, coalesce(t.tier, 'unlimited') AS tier, c.batch_id, c.custom_id, c.dialect,
           c.model, c.lane, c.deployment, c.tokens, c.fallback, c.failures, c.route_step, c.background, c.stream,
           c.created_at, q.body, q.routing
    FROM {jobs} c JOIN job_requests q ON q.job_id = c.id LEFT JOIN tenants t ON t.id = c.tenant_id
"""


async def claim(
    database: Database, worker_id: UUID, deployment: str, lane: str, ids: Sequence[UUID]
) -> list[ClaimedJob]:
    """Win the jobs of a slice that are still queued for this deployment and lane; the rest is somebody else's.

    Naming deployment and lane keeps a stale doorbell from pulling a job that has hopped away since. A worker that was
    declared dead, because it stood still for a while, wins nothing: what it ran would be taken from it again.

    Raises:
        Unavailable: whether the jobs are this worker's now is not known; it must hand them back.
    """
    async with database.connection() as connection, connection.cursor(row_factory=class_row(ClaimedJob)) as cursor:
        await cursor.execute(
            """
            WITH wanted AS (
                SELECT j.id FROM jobs j LEFT JOIN batches b ON b.id = j.batch_id
                WHERE j.id = ANY(%(ids)s) AND j.state = 'queued' AND j.deployment = %(deployment)s
                  AND j.lane = %(lane)s AND j.cancel_requested_at IS NULL AND b.ending IS NULL
                  AND NOT EXISTS (SELECT FROM workers w WHERE w.id = %(worker_id)s AND w.stopped_at IS NOT NULL)
                ORDER BY j.id FOR UPDATE OF j SKIP LOCKED
            ), claimed AS (
                UPDATE jobs SET state = 'running', epoch = epoch + 1, worker_id = %(worker_id)s,
                                started_at = coalesce(started_at, now())
                WHERE id = ANY(ARRAY(SELECT id FROM wanted)) RETURNING *
            )
            """
            + CLAIMED.format(jobs="claimed"),
            {"ids": list(ids), "worker_id": worker_id, "deployment": deployment, "lane": lane},
        )
        return [replace(job, body=unpack(job.body)) for job in await cursor.fetchall()]


async def hand_back(database: Database, worker_id: UUID | None, ids: Iterable[UUID]) -> int:
    """Put jobs back into the backlog: running ones of this worker, and queued ones whose doorbell did not ring.

    Epoch and worker stay: a result that was paid for is still accepted. Their flows are woken in the same statement.
    """
    return await database.execute(
        """
        WITH wanted AS (
            SELECT id FROM jobs
            WHERE id = ANY(%(ids)s) AND (state = 'queued' OR state = 'running' AND worker_id = %(worker_id)s)
            ORDER BY id FOR UPDATE
        ), moved AS (
            UPDATE jobs SET state = 'pending' WHERE id = ANY(ARRAY(SELECT id FROM wanted))
            RETURNING flow_id, priority, id
        ), """
        + f"{flows.HEADS} {flows.WAKE}",
        {"ids": list(ids), "worker_id": worker_id},
    )


async def give_up(database: Database, worker_id: UUID, given: Mapping[UUID, tuple[int, int]]) -> int:
    """As `hand_back`, for running jobs of this worker, each with its epoch and its failed attempts so far that count.

    The epoch makes it harmless to send it again after its answer was lost: the worker may own the job anew by then.
    """
    return await database.execute(
        """
        WITH given AS (
            SELECT * FROM unnest(%(ids)s::uuid[], %(epochs)s::int[], %(failures)s::smallint[])
                AS g(id, epoch, failures)
        ), wanted AS (
            SELECT j.id FROM jobs j JOIN given g ON g.id = j.id AND g.epoch = j.epoch
            WHERE j.state = 'running' AND j.worker_id = %(worker_id)s
            ORDER BY j.id FOR UPDATE OF j
        ), moved AS (
            UPDATE jobs j SET state = 'pending', failures = g.failures
            FROM given g WHERE j.id = g.id AND j.id = ANY(ARRAY(SELECT id FROM wanted))
            RETURNING j.flow_id, j.priority, j.id
        ), """
        + f"{flows.HEADS} {flows.WAKE}",
        {
            "ids": list(given),
            "epochs": [epoch for epoch, _ in given.values()],
            "failures": [failures for _, failures in given.values()],
            "worker_id": worker_id,
        },
    )


async def load(database: Database, tenant_id: str, job_id: UUID) -> JobRow | None:
    """One job of a tenant with its request and result, unpacked; None if there is none, or it or its batch is gone.

    Raises:
        NotFound: its payload was removed because of its age.
    """
    async with database.connection() as connection, connection.cursor(row_factory=class_row(JobRow)) as cursor:
        await cursor.execute(
            _VIEW + "WHERE j.id = %(id)s AND j.tenant_id = %(tenant_id)s AND j.deleted_at IS NULL AND NOT EXISTS"
            " (SELECT FROM batches b WHERE b.id = j.batch_id AND b.deleted_at IS NOT NULL)",
            {"id": job_id, "tenant_id": tenant_id},
        )
        row = await cursor.fetchone()
    if row is not None and row.request is None:
        raise NotFound("This was removed because of its age.")
    return _unpacked(row) if row else None


async def page_of_batch(database: Database, batch_id: UUID, part: str, after_line: int) -> list[JobRow]:
    """Terminal jobs of a batch in input order: part `output` (succeeded) or `error` (all others).

    A page ends after `PAGE_ROWS` jobs or `PAGE_BYTES` of lines: those of embeddings can be megabytes long. An empty one
    is the end.
    """
    where = "batch_id = %(batch_id)s AND line > %(after)s AND (state = 'succeeded') = %(succeeded)s"
    return await _page(
        database, "line", where, {"batch_id": batch_id, "after": after_line, "succeeded": part == "output"}
    )


async def page_by_number(database: Database, batch_id: UUID, after: int, last: int) -> list[JobRow]:
    """Terminal jobs of a batch in finishing order, numbered above `after` and up to `last`; see `page_of_batch`."""
    where = "batch_id = %(batch_id)s AND finished_number > %(after)s AND finished_number <= %(last)s"
    return await _page(database, "finished_number", where, {"batch_id": batch_id, "after": after, "last": last})


async def _page(database: Database, order: str, where: str, params: dict[str, Any]) -> list[JobRow]:
    """Jobs of a batch by a column of theirs; the first is given however long it is."""
    async with database.connection() as connection, connection.cursor(row_factory=class_row(JobRow)) as cursor:
        await cursor.execute(
            f"""
            WITH listed AS (
                SELECT id, {order}, coalesce(line_bytes, 0) AS size FROM jobs WHERE {where}
                ORDER BY {order} LIMIT %(rows)s
            ), page AS (
                SELECT id, sum(size) OVER (ORDER BY {order}) - size AS before FROM listed
            )
            {_VIEW} WHERE j.id = ANY(ARRAY(SELECT id FROM page WHERE before < %(bytes)s)) ORDER BY j.{order}
            """,
            {**params, "rows": PAGE_ROWS, "bytes": PAGE_BYTES},
        )
        return [_unpacked(row) for row in await cursor.fetchall()]


async def state_of(database: Database, job_id: UUID) -> tuple[JobState, int, UUID | None, bool] | None:
    """State, epoch, worker and whether it ever started; the cheap question a waiting reader asks once a second."""
    row = await database.fetch_one(
        "SELECT state, epoch, worker_id, started_at IS NOT NULL AS started FROM jobs WHERE id = %(id)s", {"id": job_id}
    )
    return (row["state"], row["epoch"], row["worker_id"], row["started"]) if row else None


async def request_cancel(database: Database, tenant_id: str, job_id: UUID) -> JobState | None:
    """Ask for the end of a job. One that no worker runs ends at once; a running one is flagged for its worker.

    Returns:
        The state after the call, None if the tenant has no such job.
    """
    row = await database.fetch_one(
        f"""
        WITH ended AS (
            UPDATE jobs SET cancel_requested_at = coalesce(cancel_requested_at, now()),
                state = CASE WHEN state IN ('pending', 'queued') THEN 'cancelled' ELSE state END,
                finished_at = CASE WHEN state IN ('pending', 'queued') THEN now() ELSE finished_at END
            WHERE id = %(id)s AND tenant_id = %(tenant_id)s AND deleted_at IS NULL AND batch_id IS NULL
              AND state IN ('pending', 'queued', 'running')
            RETURNING *
        ), events AS ({EVENTS_OF_ENDED})
        SELECT state FROM ended
        """,
        {"id": job_id, "tenant_id": tenant_id},
    )
    if row is None:
        row = await database.fetch_one(
            "SELECT state FROM jobs WHERE id = %(id)s AND tenant_id = %(tenant_id)s AND deleted_at IS NULL",
            {"id": job_id, "tenant_id": tenant_id},
        )
    return row["state"] if row else None


async def delete(database: Database, tenant_id: str, job_id: UUID) -> None:
    """Hide a job from every route."""
    await database.execute(
        "UPDATE jobs SET deleted_at = now() WHERE id = %(id)s AND tenant_id = %(tenant_id)s AND deleted_at IS NULL",
        {"id": job_id, "tenant_id": tenant_id},
    )


async def force_cancel(database: Database, job_id: UUID) -> None:
    """End a flagged job whose worker did not answer; a later result of that worker no longer changes it."""
    await database.execute(
        f"""
        WITH ended AS (
            UPDATE jobs SET state = 'cancelled', finished_at = now()
            WHERE id = %(id)s AND state IN ('pending', 'queued', 'running') AND cancel_requested_at IS NOT NULL
            RETURNING *
        ), events AS ({EVENTS_OF_ENDED})
        SELECT state FROM ended
        """,
        {"id": job_id},
    )


def _unpacked(row: JobRow) -> JobRow:
    return replace(
        row,
        request=unpack(row.request) if row.request is not None else None,
        result=unpack(row.result) if row.result is not None else None,
    )
