"""Flows: one row per (pool, lane, tenant), the unit of fair order, with a cursor at its first pending job."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from uuid import UUID

from psycopg.rows import tuple_row

from penstock.store.database import Connection, Database

#: the place of the first of the jobs in `moved` that each flow got, its flows locked in their order
HEADS = """heads AS (
    SELECT DISTINCT ON (flow_id) flow_id, priority, id FROM moved ORDER BY flow_id, priority, id
), locked AS (
    SELECT f.id FROM flows f JOIN heads h ON h.flow_id = f.id ORDER BY f.id FOR UPDATE OF f
)"""
#: moves their cursors back to it
WAKE = """
    UPDATE flows f SET active = true, version = version + 1, woken_by = pg_current_xact_id(),
        cursor_priority = CASE WHEN (h.priority, h.id) < (f.cursor_priority, f.cursor_id)
                               THEN h.priority ELSE f.cursor_priority END,
        cursor_id = CASE WHEN (h.priority, h.id) < (f.cursor_priority, f.cursor_id) THEN h.id ELSE f.cursor_id END
    FROM heads h JOIN locked l ON l.id = h.flow_id WHERE f.id = h.flow_id
"""


@dataclass(frozen=True, slots=True)
class Flow:
    """A flow with work, as the dispatcher sees it. `virtual_time` counts tokens taken ÷ weight."""

    id: int
    pool: str
    lane: str
    tenant_id: str
    tier: str
    virtual_time: float
    version: int
    cursor_priority: int
    cursor_id: UUID


@dataclass(frozen=True, slots=True)
class Taken:
    """A job that moved from the backlog to a queue."""

    id: UUID
    flow_id: int
    priority: int
    tokens: int


@dataclass(frozen=True, slots=True)
class Turn:
    """A flow after its turn, its cursor at the last job taken; `emptied` when there were fewer than asked for."""

    flow: Flow
    emptied: bool

    @classmethod
    def of(cls, flow: Flow, asked: int, taken: Sequence[Taken], paid: float) -> "Turn":
        """The turn in which a flow asked for so many jobs, got `taken`, and paid for them in virtual time."""
        priority, job_id = max(
            ((job.priority, job.id) for job in taken), default=(flow.cursor_priority, flow.cursor_id)
        )
        moved = replace(flow, virtual_time=flow.virtual_time + paid, cursor_priority=priority, cursor_id=job_id)
        return cls(moved, emptied=len(taken) < asked)


async def ensure(database: Database, pool: str, lane: str, tenant_id: str) -> int:
    """The id of a flow, made if it is new."""
    row = await database.fetch_one(
        """
        INSERT INTO flows (pool, lane, tenant_id, active) VALUES (%(pool)s, %(lane)s, %(tenant_id)s, false)
        ON CONFLICT (pool, lane, tenant_id) DO UPDATE SET pool = excluded.pool RETURNING id
        """,
        {"pool": pool, "lane": lane, "tenant_id": tenant_id},
    )
    assert row is not None  # INSERT … RETURNING of one row
    return int(row["id"])


async def wake(connection: Connection, heads: Mapping[int, tuple[int, UUID]]) -> None:
    """Tell flows that jobs became pending, in the transaction that made them so.

    `heads` maps a flow to the least (priority, id) of its new jobs; the cursor moves back to it. Rows are locked in
    id order, and last in the transaction, so that nobody waits here for somebody's COPY.
    """
    if not heads:
        return
    await connection.execute(
        """
        WITH heads AS (
            SELECT * FROM unnest(%(flows)s::bigint[], %(priorities)s::smallint[], %(ids)s::uuid[])
                AS h(flow_id, priority, id)
        ), locked AS (
            SELECT f.id FROM flows f JOIN heads h ON h.flow_id = f.id ORDER BY f.id FOR UPDATE OF f
        )
        UPDATE flows f SET active = true, version = version + 1, woken_by = pg_current_xact_id(),
            cursor_priority = CASE WHEN (h.priority, h.id) < (f.cursor_priority, f.cursor_id) OR NOT f.active
                                   THEN h.priority ELSE f.cursor_priority END,
            cursor_id = CASE WHEN (h.priority, h.id) < (f.cursor_priority, f.cursor_id) OR NOT f.active
                             THEN h.id ELSE f.cursor_id END
        FROM heads h, locked l WHERE f.id = h.flow_id AND l.id = f.id
        """,
        {
            "flows": list(heads),
            "priorities": [priority for priority, _ in heads.values()],
            "ids": [job_id for _, job_id in heads.values()],
        },
    )


async def active(database: Database) -> list[Flow]:
    """Every flow that may have pending jobs."""
    return (await woken(database))[0]


async def woken(database: Database, since: int = 0) -> tuple[list[Flow], int]:
    """The flows that may have pending jobs, of those woken since a moment; and the moment to ask from the next time.

    A moment is the oldest transaction that was still under way when somebody looked: whatever commits later has that
    number or a higher one, so nobody is missed, and some may be told twice. 0 is the beginning: all of them, also those
    with numbers that are still to come here, which were written in another cluster and loaded into this one.
    """
    async with database.connection() as connection, connection.cursor(row_factory=tuple_row) as cursor:
        await cursor.execute(
            """
            SELECT pg_snapshot_xmin(pg_current_snapshot())::text::bigint, f.id, f.pool, f.lane, f.tenant_id, t.tier,
                   f.virtual_time, f.version, f.cursor_priority, f.cursor_id
            FROM flows f JOIN tenants t ON t.id = f.tenant_id
            WHERE f.active AND f.woken_by >= %(since)s::text::xid8
              AND (f.woken_by < pg_snapshot_xmax(pg_current_snapshot()) OR %(since)s::text = '0')
            """,
            {"since": str(since)},
        )
        rows = await cursor.fetchall()
    return [Flow(*row[1:]) for row in rows], rows[0][0] if rows else since


async def clocks(database: Database) -> dict[tuple[str, str], float]:
    """How far the furthest flow has come, by (pool, lane): about where the virtual clock of each stands."""
    rows = await database.fetch("SELECT pool, lane, max(virtual_time) AS now FROM flows GROUP BY pool, lane")
    return {(row["pool"], row["lane"]): row["now"] for row in rows}


async def take(connection: Connection, deployment: str, flows: Sequence[Flow], counts: Sequence[int]) -> list[Taken]:
    """Move up to `counts[i]` jobs of `flows[i]` from pending to queued at a deployment, by priority, then age.

    Where their pool is a route, another deployment may have been thought of before: that one is then what a job falls
    back to first.

    The index is entered at the flow's cursor: without it the dead entries of jobs taken before make the same
    statement 20 times slower once an old snapshot keeps vacuum away. Joined back by an array of ids, because the
    planner makes a merge over the whole table of the plain join.
    """
    cursor = await connection.execute(
        """
        WITH wanted AS (
            SELECT * FROM unnest(%(flows)s::bigint[], %(priorities)s::smallint[], %(ids)s::uuid[], %(counts)s::int[])
                AS w(flow_id, cursor_priority, cursor_id, count)
        ), picked AS (
            SELECT p.id FROM wanted w CROSS JOIN LATERAL (
                SELECT j.id FROM jobs j
                WHERE j.state = 'pending' AND j.flow_id = w.flow_id
                  AND (j.priority, j.id) >= (w.cursor_priority, w.cursor_id)
                ORDER BY j.priority, j.id LIMIT w.count FOR UPDATE SKIP LOCKED
            ) p
        )
        UPDATE jobs SET state = 'queued', queued_at = now(), deployment = %(deployment)s,
            fallback = CASE WHEN deployment = %(deployment)s THEN fallback
                            ELSE array_remove(array_prepend(deployment, fallback), %(deployment)s) END
        WHERE id = ANY(ARRAY(SELECT id FROM picked)) RETURNING id, flow_id, priority, tokens
        """,
        {
            "flows": [flow.id for flow in flows],
            "priorities": [flow.cursor_priority for flow in flows],
            "ids": [flow.cursor_id for flow in flows],
            "counts": list(counts),
            "deployment": deployment,
        },
    )
    return [Taken(**row) for row in await cursor.fetchall()]


async def advance(connection: Connection, turns: Sequence[Turn]) -> None:
    """Write back clocks and cursors after a slice.

    Cursor and rest follow only where the version is still the one that was read: whoever made jobs pending meanwhile
    has moved the cursor back, and that stands.
    """
    ordered = sorted(turns, key=lambda turn: turn.flow.id)
    await connection.execute(
        """
        UPDATE flows f SET virtual_time = c.virtual_time,
            cursor_priority = CASE WHEN f.version = c.version THEN c.priority ELSE f.cursor_priority END,
            cursor_id = CASE WHEN f.version = c.version THEN c.job_id ELSE f.cursor_id END,
            active = CASE WHEN f.version = c.version THEN c.active ELSE f.active END
        FROM unnest(%(ids)s::bigint[], %(versions)s::bigint[], %(times)s::float8[], %(priorities)s::smallint[],
                    %(job_ids)s::uuid[], %(active)s::bool[])
            AS c(id, version, virtual_time, priority, job_id, active)
        WHERE f.id = c.id
        """,
        {
            "ids": [turn.flow.id for turn in ordered],
            "versions": [turn.flow.version for turn in ordered],
            "times": [turn.flow.virtual_time for turn in ordered],
            "priorities": [turn.flow.cursor_priority for turn in ordered],
            "job_ids": [turn.flow.cursor_id for turn in ordered],
            "active": [not turn.emptied for turn in ordered],
        },
    )


async def repair(database: Database) -> int:
    """Wake flows that have pending jobs and are marked as having none; returns how many."""
    return await database.execute(
        """
        UPDATE flows SET active = true, version = version + 1, woken_by = pg_current_xact_id(),
            cursor_priority = h.priority, cursor_id = h.id
        FROM (SELECT f.id AS flow_id, j.priority, j.id FROM flows f CROSS JOIN LATERAL (
                SELECT priority, id FROM jobs WHERE state = 'pending' AND flow_id = f.id
                ORDER BY priority, id LIMIT 1) j
              WHERE NOT f.active) h
        WHERE flows.id = h.flow_id AND NOT flows.active
        """
    )
