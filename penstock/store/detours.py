"""Pending jobs that leave a deployment whose provider is ill for one that they may fall back to."""

from collections.abc import Sequence
from dataclasses import dataclass
from uuid import UUID

from penstock.store.database import Connection
from penstock.store.flows import HEADS, WAKE, Flow


@dataclass(frozen=True, slots=True)
class Stranded:
    """A pending job at an ill deployment, and the deployments that it may fall back to, in its order."""

    id: UUID
    tenant_id: str
    model: str
    fallback: list[str]


@dataclass(frozen=True, slots=True)
class Detour:
    """Where one job goes on."""

    id: UUID
    deployment: str
    flow_id: int


async def stranded(connection: Connection, flows: Sequence[Flow], limit: int) -> list[Stranded]:
    """The first `limit` pending jobs of each flow that have a fallback, locked; an index of their own finds them."""
    cursor = await connection.execute(
        """
        SELECT p.id, p.tenant_id, p.model, p.fallback
        FROM unnest(%(flows)s::bigint[], %(priorities)s::smallint[], %(ids)s::uuid[])
            AS w(flow_id, cursor_priority, cursor_id)
        CROSS JOIN LATERAL (
            SELECT j.id, j.tenant_id, j.model, j.fallback FROM jobs j
            WHERE j.state = 'pending' AND j.fallback IS NOT NULL AND j.flow_id = w.flow_id
              AND (j.priority, j.id) >= (w.cursor_priority, w.cursor_id)
            ORDER BY j.priority, j.id LIMIT %(limit)s FOR UPDATE SKIP LOCKED
        ) p
        """,
        {
            "flows": [flow.id for flow in flows],
            "priorities": [flow.cursor_priority for flow in flows],
            "ids": [flow.cursor_id for flow in flows],
            "limit": limit,
        },
    )
    return [Stranded(**row) for row in await cursor.fetchall()]


async def move(connection: Connection, detours: Sequence[Detour]) -> int:
    """Make jobs that `stranded` locked pending elsewhere, as `hops.hop` does with a running one; returns how many."""
    cursor = await connection.execute(
        f"""
        WITH moved AS (
            UPDATE jobs j SET deployment = d.deployment, flow_id = d.flow_id, failures = 0,
                fallback = nullif(array_remove(j.fallback, d.deployment), '{{}}')
            FROM unnest(%(ids)s::uuid[], %(deployments)s::text[], %(flows)s::bigint[]) AS d(id, deployment, flow_id)
            WHERE j.id = d.id AND j.state = 'pending' RETURNING j.flow_id, j.priority, j.id
        ), {HEADS}, woken AS ({WAKE})
        SELECT count(*)::int AS moved FROM moved
        """,
        {
            "ids": [detour.id for detour in detours],
            "deployments": [detour.deployment for detour in detours],
            "flows": [detour.flow_id for detour in detours],
        },
    )
    row = await cursor.fetchone()
    assert row is not None  # an aggregate has one row
    return int(row["moved"])
