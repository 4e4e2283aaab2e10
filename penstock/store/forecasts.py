"""What forecasts are made of, and where they are kept: unfinished work by batch and deployment, and means of calls."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from penstock.store.database import Database
from penstock.store.flows import HEADS, WAKE


@dataclass(frozen=True, slots=True)
class Part:
    """The unfinished queued work of one flow that belongs to one batch (None: to single jobs) and has one priority.

    `since` is the time of its oldest job: the part that was there first is served first. `tokens` and `waiting_tokens`
    are estimates; what waits has not been begun.
    """

    batch_id: UUID | None
    flow_id: int
    pool: str
    tenant_id: str
    tier: str
    priority: int
    since: datetime
    jobs: int
    tokens: int
    waiting_jobs: int
    waiting_tokens: int


@dataclass(frozen=True, slots=True)
class OpenBatch:
    """A batch whose lines run, `ingested` of its `total` by now. Its window closes in `left` seconds."""

    id: UUID
    total: int
    ingested: int
    left: float
    estimated: bool

    @property
    def whole(self) -> bool:
        """Whether each of its lines is a job by now."""
        return self.ingested >= self.total


@dataclass(frozen=True, slots=True)
class Calls:
    """Means over a deployment's latest good calls, `expected` and `tokens` per call; None where there were none."""

    deployment: str
    calls: int
    expected: float | None
    input_tokens: float | None
    output_tokens: float | None
    seconds: float | None


@dataclass(frozen=True, slots=True)
class Estimate:
    """When a batch will be done, `seconds` from now; None takes an older estimate back."""

    batch_id: UUID
    seconds: float | None


async def unfinished(database: Database) -> list[Part]:
    """All work of the backlog and of the bulk lane that has not ended. Reads every such row: not for every moment.

    In two halves, as the partial indexes have it: for both together the planner would read the whole table.
    """
    rows = await database.fetch(
        """
        SELECT s.batch_id, s.flow_id, s.deployment AS pool, f.tenant_id, t.tier, s.priority, s.since, s.jobs, s.tokens,
               s.waiting_jobs, s.waiting_tokens
        FROM (
            SELECT batch_id, flow_id, deployment, priority, min(created_at) AS since,
                   count(*)::int AS jobs, sum(tokens)::bigint AS tokens,
                   count(*) FILTER (WHERE state <> 'running')::int AS waiting_jobs,
                   coalesce(sum(tokens) FILTER (WHERE state <> 'running'), 0)::bigint AS waiting_tokens
            FROM (
                SELECT * FROM jobs WHERE state = 'pending'
                UNION ALL SELECT * FROM jobs WHERE state IN ('queued', 'running')
            ) j WHERE lane = 'bulk' GROUP BY batch_id, flow_id, deployment, priority
        ) s JOIN flows f ON f.id = s.flow_id JOIN tenants t ON t.id = f.tenant_id
        """
    )
    return [Part(**row) for row in rows]


async def open_batches(database: Database) -> list[OpenBatch]:
    """Every batch that runs and is not being ended."""
    rows = await database.fetch(
        """
        SELECT id, total, ingested_to AS ingested, extract(epoch FROM expires_at - now())::float8 AS left,
               estimated_completion_at IS NOT NULL AS estimated
        FROM batches WHERE status = 'in_progress' AND ending IS NULL
        """
    )
    return [OpenBatch(**row) for row in rows]


async def latest_calls(database: Database, deployments: Sequence[str], seconds: float, limit: int) -> list[Calls]:
    """Means over up to `limit` good calls of each deployment that began in the last `seconds`."""
    rows = await database.fetch(
        """
        SELECT d.name AS deployment, s.* FROM unnest(%(names)s::text[]) AS d(name) CROSS JOIN LATERAL (
            SELECT count(*)::int AS calls, avg(j.tokens)::float8 AS expected,
                   avg(a.input_tokens)::float8 AS input_tokens,
                   avg(a.output_tokens)::float8 AS output_tokens, (avg(a.latency_ms) / 1000)::float8 AS seconds
            FROM (
                SELECT job_id, input_tokens, output_tokens, latency_ms FROM attempts
                WHERE started_at > now() - make_interval(secs => %(seconds)s) AND deployment = d.name
                  AND outcome = 'succeeded' LIMIT %(limit)s
            ) a JOIN jobs j ON j.id = a.job_id
        ) s
        """,
        {"names": list(deployments), "seconds": seconds, "limit": limit},
    )
    return [Calls(**row) for row in rows]


async def save(database: Database, estimates: Sequence[Estimate]) -> None:
    """Keep estimates that differ from what is known by more than a second and a hundredth of what is left.

    Rows that are locked at the moment are passed over: their turn comes again.
    """
    await database.execute(
        """
        WITH given AS (
            SELECT id, now() + make_interval(secs => seconds) AS at, greatest(1, seconds / 100) AS about
            FROM unnest(%(ids)s::uuid[], %(seconds)s::float8[]) AS g(id, seconds)
        ), changed AS (
            SELECT b.id FROM batches b JOIN given g ON g.id = b.id
            WHERE (b.estimated_completion_at IS NULL) <> (g.at IS NULL)
               OR abs(extract(epoch FROM b.estimated_completion_at - g.at)) > g.about
               OR b.late <> coalesce(g.at > b.expires_at, false)
            ORDER BY b.id FOR UPDATE OF b SKIP LOCKED
        )
        UPDATE batches b SET estimated_completion_at = g.at, late = coalesce(g.at > b.expires_at, false)
        FROM given g WHERE b.id = g.id AND b.id = ANY(ARRAY(SELECT id FROM changed))
        """,
        {
            "ids": [estimate.batch_id for estimate in estimates],
            "seconds": [estimate.seconds for estimate in estimates],
        },
    )


async def hurry(database: Database, part: Part, priority: int, limit: int) -> int:
    """Give the first `limit` pending jobs of a batch's part another priority; returns how many."""
    row = await database.fetch_one(
        f"""
        WITH wanted AS (
            SELECT id FROM jobs
            WHERE batch_id = %(batch_id)s AND state = 'pending' AND flow_id = %(flow_id)s AND priority = %(old)s
            ORDER BY line LIMIT %(limit)s FOR UPDATE SKIP LOCKED
        ), moved AS (
            UPDATE jobs SET priority = %(new)s WHERE id = ANY(ARRAY(SELECT id FROM wanted))
            RETURNING flow_id, priority, id
        ), {HEADS}, woken AS ({WAKE})
        SELECT count(*)::int AS moved FROM moved
        """,
        {
            "flow_id": part.flow_id, "old": part.priority, "batch_id": part.batch_id, "new": priority,
            "limit": limit,
        },
    )  # fmt: skip
    return int(row["moved"]) if row else 0
