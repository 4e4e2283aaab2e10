"""Attempts: what was really sent upstream, and what each came to. The rows are written by `finish`."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from uuid import UUID

from psycopg.rows import class_row

from penstock.store.database import Database


@dataclass(frozen=True, slots=True)
class Spent:
    """What was sent lately: requests and tokens of calls begun, running ones as reserved, and how many run."""

    requests: int = 0
    input_tokens: int = 0
    output_tokens: int = 0
    running: int = 0


@dataclass(frozen=True, slots=True)
class AttemptRow:
    """One upstream call as its readers see it."""

    epoch: int
    step: int
    deployment: str
    started_at: datetime
    outcome: str
    error_type: str | None
    error: str | None
    input_tokens: int
    output_tokens: int
    cached_tokens: int
    cost: Decimal | None
    latency_ms: int
    first_token_ms: int | None


async def of_job(database: Database, job_id: UUID) -> list[AttemptRow]:
    """The upstream calls of a job, in the order in which they began."""
    async with database.connection() as connection, connection.cursor(row_factory=class_row(AttemptRow)) as cursor:
        await cursor.execute(
            f"SELECT {', '.join(AttemptRow.__slots__)} FROM attempts WHERE job_id = %(id)s ORDER BY started_at, step",
            {"id": job_id},
        )
        return await cursor.fetchall()


@dataclass(frozen=True, slots=True)
class LineCost:
    """What one line of a batch cost: all its upstream calls, in US dollars; None where no price is known."""

    line: int
    custom_id: str
    model: str
    cost: Decimal | None
    calls: int


async def costs_of_batch(database: Database, batch_id: UUID, after_line: int, limit: int) -> list[LineCost]:
    """A page of the lines of a batch that have ended, in input order, with what their calls cost."""
    async with database.connection() as connection, connection.cursor(row_factory=class_row(LineCost)) as cursor:
        await cursor.execute(
            """
            WITH page AS (
                SELECT id, line, custom_id, model FROM jobs
                WHERE batch_id = %(id)s AND line > %(after)s AND state IN ('succeeded', 'failed')
                ORDER BY line LIMIT %(limit)s
            )
            SELECT p.line, p.custom_id, p.model, sum(a.cost) AS cost, count(a.job_id)::int AS calls
            FROM page p LEFT JOIN attempts a ON a.job_id = p.id
            GROUP BY p.line, p.custom_id, p.model ORDER BY p.line
            """,
            {"id": batch_id, "after": after_line, "limit": limit},
        )
        return await cursor.fetchall()


_SPENT = """
WITH called AS (
    SELECT a.input_tokens, a.output_tokens FROM attempts a
    WHERE a.started_at > now() - make_interval(secs => %(seconds)s) AND {attempts}
), running AS (
    SELECT j.tokens FROM jobs j WHERE j.state = 'running' AND {jobs}
)
SELECT (SELECT count(*) FROM called)::bigint + (SELECT count(*) FROM running)::bigint AS requests,
       (SELECT coalesce(sum(input_tokens), 0) FROM called)::bigint
           + (SELECT coalesce(sum(tokens), 0) FROM running)::bigint AS input_tokens,
       (SELECT coalesce(sum(output_tokens), 0) FROM called)::bigint AS output_tokens,
       (SELECT count(*) FROM running)::bigint AS running
"""


async def spent_by_deployments(database: Database, deployments: Sequence[str], seconds: float) -> Spent:
    """What these deployments took in the last `seconds`; a running job's estimate counts as input."""
    query = _SPENT.format(attempts="a.deployment = ANY(%(names)s)", jobs="j.deployment = ANY(%(names)s)")
    return await _spent(database, query, {"names": list(deployments), "seconds": seconds})


async def spent_by_tenant(database: Database, tenant_id: str, seconds: float) -> Spent:
    """As `spent_by_deployments`, of a tenant."""
    query = _SPENT.format(
        attempts="EXISTS (SELECT 1 FROM jobs o WHERE o.id = a.job_id AND o.tenant_id = %(tenant_id)s)",
        jobs="j.tenant_id = %(tenant_id)s",
    )
    return await _spent(database, query, {"tenant_id": tenant_id, "seconds": seconds})


async def _spent(database: Database, query: str, params: dict[str, object]) -> Spent:
    row = await database.fetch_one(query, params)
    assert row is not None  # an aggregate has one row
    return Spent(**row)
