"""The end of jobs: one statement that ends many, fenced by epoch and worker.

States change where id, epoch and worker match; results, webhook events and batch counters follow only for the rows
that changed, so a stale row drops out alone. Attempts are not fenced: whoever made a call records it, because the
money was spent.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal
from typing import Any
from uuid import UUID

from penstock.completion.encoding import pack
from penstock.completion.step import RouteStep
from penstock.completion.usage import Usage
from penstock.rules.lifecycle import JobState
from penstock.store import steps as step_store
from penstock.store.database import Database


@dataclass(frozen=True, slots=True, kw_only=True)
class Attempt:
    """One upstream call. Times in milliseconds; `cost` in US dollars, None when no price is known."""

    job_id: UUID
    epoch: int
    step: int
    deployment: str
    started_at: datetime
    outcome: str
    latency_ms: int
    usage: Usage = field(default_factory=Usage)
    cost: Decimal | None = None
    error_type: str | None = None
    error: str | None = None
    first_token_ms: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class FinishedJob:
    """What became of a job. `body` is the stored outcome (JSON); `event_type` names a webhook event, if one is due.

    `cost` is in US dollars, of all its attempts together; None when some price is not known. `steps` are answers of its
    route that were asked for at the same time and not given.
    """

    id: UUID
    epoch: int
    state: JobState
    status_code: int | None
    body: bytes
    line_bytes: int | None
    usage: Usage
    cost: Decimal | None
    event_type: str | None = None
    object_id: str | None = None
    attempts: tuple[Attempt, ...] = ()
    steps: tuple[RouteStep, ...] = ()


@dataclass(frozen=True, slots=True)
class Finish:
    """What the statement did: the jobs it ended, and the batches whose last line was among them."""

    ended: frozenset[UUID]
    finished_batches: frozenset[UUID]


_FINISH = f"""
WITH input AS (
    SELECT * FROM unnest(
        %(ids)s::uuid[], %(epochs)s::int[], %(states)s::text[], %(status_codes)s::smallint[], %(bodies)s::bytea[],
        %(line_bytes)s::int[], %(input_tokens)s::int[], %(output_tokens)s::int[], %(cached_tokens)s::int[],
        %(reasoning_tokens)s::int[], %(costs)s::numeric[], %(event_types)s::text[], %(object_ids)s::text[])
    AS i(id, epoch, state, status_code, body, line_bytes, input_tokens, output_tokens, cached_tokens,
         reasoning_tokens, cost, event_type, object_id)
), fenced AS (
    SELECT j.id, j.batch_id FROM jobs j JOIN input i ON i.id = j.id AND i.epoch = j.epoch
    WHERE j.worker_id = %(worker_id)s AND j.state IN ('running', 'pending', 'queued')
    ORDER BY j.id FOR UPDATE OF j
), per_batch AS (
    SELECT f.batch_id, count(*) AS finished, count(*) FILTER (WHERE i.state = 'succeeded') AS completed,
           count(*) FILTER (WHERE i.state = 'failed') AS failed,
           sum(i.line_bytes) FILTER (WHERE i.state = 'succeeded') AS output_bytes,
           sum(i.line_bytes) FILTER (WHERE i.state <> 'succeeded') AS error_bytes,
           sum(i.input_tokens) AS input_tokens, sum(i.output_tokens) AS output_tokens,
           sum(i.cached_tokens) AS cached_tokens, sum(i.reasoning_tokens) AS reasoning_tokens, sum(i.cost) AS cost,
           count(*) FILTER (WHERE i.state = 'succeeded' AND i.cost IS NULL) AS unpriced
    FROM fenced f JOIN input i ON i.id = f.id WHERE f.batch_id IS NOT NULL GROUP BY f.batch_id
), locked AS (
    SELECT b.id FROM batches b JOIN per_batch p ON p.batch_id = b.id ORDER BY b.id FOR UPDATE OF b
), counted AS (
    UPDATE batches b SET
        finished = b.finished + p.finished, completed = b.completed + p.completed,
        failed = b.failed + p.failed,
        output_bytes = b.output_bytes + coalesce(p.output_bytes, 0),
        error_bytes = b.error_bytes + coalesce(p.error_bytes, 0),
        input_tokens = b.input_tokens + p.input_tokens, output_tokens = b.output_tokens + p.output_tokens,
        cached_tokens = b.cached_tokens + p.cached_tokens,
        reasoning_tokens = b.reasoning_tokens + p.reasoning_tokens, cost = b.cost + coalesce(p.cost, 0),
        unpriced = b.unpriced + p.unpriced
    FROM per_batch p JOIN locked l ON l.id = p.batch_id
    WHERE b.id = p.batch_id
    RETURNING b.id, b.finished - p.finished AS before, b.finished = b.total AS whole
), numbered AS (
    SELECT f.id, c.before + row_number() OVER (PARTITION BY f.batch_id ORDER BY f.id) AS number
    FROM fenced f LEFT JOIN counted c ON c.id = f.batch_id
), changed AS (
    UPDATE jobs j SET state = i.state::job_state, finished_at = now(), status_code = i.status_code,
                      line_bytes = i.line_bytes, finished_number = n.number
    FROM input i JOIN numbered n ON n.id = i.id
    WHERE j.id = i.id RETURNING j.id, j.batch_id, j.tenant_id, j.callback_url, j.route_step
), stored AS (
    INSERT INTO job_results (job_id, body)
    SELECT i.id, i.body FROM input i JOIN changed c ON c.id = i.id
    ON CONFLICT (job_id) DO NOTHING
), events AS (
    INSERT INTO webhook_events (id, tenant_id, type, object_id, callback_url)
    SELECT gen_random_uuid(), c.tenant_id, i.event_type, i.object_id, c.callback_url
    FROM input i JOIN changed c ON c.id = i.id WHERE i.event_type IS NOT NULL
    ON CONFLICT (object_id, type) DO NOTHING
), beside AS (
    INSERT INTO route_steps ({step_store.COLUMNS})
    SELECT c.id, c.route_step + s.place, {step_store.VALUES}
    FROM {step_store.ROWS} JOIN changed c ON c.id = s.job_id
    ON CONFLICT (job_id, step) DO NOTHING
), spent AS (
    INSERT INTO attempts (job_id, epoch, step, deployment, worker_id, started_at, outcome, error_type, error,
                          input_tokens, output_tokens, cached_tokens, cost, latency_ms, first_token_ms)
    SELECT a.job_id, a.epoch, a.step, a.deployment, %(worker_id)s, a.started_at, a.outcome, a.error_type, a.error,
           a.input_tokens, a.output_tokens, a.cached_tokens, a.cost, a.latency_ms, a.first_token_ms
    FROM unnest(
        %(a_job_ids)s::uuid[], %(a_epochs)s::int[], %(a_steps)s::smallint[], %(a_deployments)s::text[],
        %(a_started)s::timestamptz[], %(a_outcomes)s::text[], %(a_error_types)s::text[], %(a_errors)s::text[],
        %(a_input)s::int[], %(a_output)s::int[], %(a_cached)s::int[], %(a_costs)s::numeric[],
        %(a_latency)s::int[], %(a_first)s::int[])
    AS a(job_id, epoch, step, deployment, started_at, outcome, error_type, error, input_tokens, output_tokens,
         cached_tokens, cost, latency_ms, first_token_ms)
    ON CONFLICT (job_id, epoch, step, worker_id) DO NOTHING
)
SELECT c.id, c.batch_id, coalesce(b.whole, false) AS whole FROM changed c LEFT JOIN counted b ON b.id = c.batch_id
"""


async def finish(
    database: Database, worker_id: UUID, jobs: Sequence[FinishedJob], attempts: Sequence[Attempt] = ()
) -> Finish:
    """End `jobs` and record their attempts, and `attempts` of jobs that did not end here.

    Sending the same call again after its answer was lost is harmless: rows that already ended do not change, and an
    attempt is written down once. Look them up before repeating a call.

    Raises:
        psycopg.Error: the statement did not happen, as a whole.
    """
    calls = [attempt for job in jobs for attempt in job.attempts] + list(attempts)
    rows = await database.fetch(_FINISH, {"worker_id": worker_id, **_arrays(jobs, calls)})
    return Finish(
        ended=frozenset(row["id"] for row in rows),
        finished_batches=frozenset(row["batch_id"] for row in rows if row["whole"]),
    )


async def ended_as_mine(database: Database, worker_id: UUID, epochs: dict[UUID, int]) -> frozenset[UUID]:
    """Which jobs ended under this worker and epoch: what an earlier `finish` did whose answer was lost."""
    rows = await database.fetch(
        """
        SELECT j.id FROM jobs j JOIN unnest(%(ids)s::uuid[], %(epochs)s::int[]) AS i(id, epoch)
            ON i.id = j.id AND i.epoch = j.epoch
        WHERE j.worker_id = %(worker_id)s AND j.state IN ('succeeded', 'failed', 'cancelled', 'expired')
          AND EXISTS (SELECT 1 FROM job_results r WHERE r.job_id = j.id)
        """,
        {"ids": list(epochs), "epochs": list(epochs.values()), "worker_id": worker_id},
    )
    return frozenset(row["id"] for row in rows)


def _arrays(jobs: Sequence[FinishedJob], calls: Sequence[Attempt]) -> dict[str, Any]:
    steps = [(job.id, job.steps) for job in jobs if job.steps]
    return {**_job_arrays(jobs), **_attempt_arrays(calls), **step_store.arrays(steps)}


def _job_arrays(jobs: Sequence[FinishedJob]) -> dict[str, Any]:
    return {
        "ids": [job.id for job in jobs],
        "epochs": [job.epoch for job in jobs],
        "states": [job.state for job in jobs],
        "status_codes": [job.status_code for job in jobs],
        "bodies": [pack(job.body) for job in jobs],
        "line_bytes": [job.line_bytes for job in jobs],
        "input_tokens": [job.usage.input_tokens for job in jobs],
        "output_tokens": [job.usage.output_tokens for job in jobs],
        "cached_tokens": [job.usage.cached_tokens for job in jobs],
        "reasoning_tokens": [job.usage.reasoning_tokens for job in jobs],
        "costs": [job.cost for job in jobs],
        "event_types": [job.event_type for job in jobs],
        "object_ids": [job.object_id for job in jobs],
    }


def _attempt_arrays(calls: Sequence[Attempt]) -> dict[str, Any]:
    return {
        "a_job_ids": [call.job_id for call in calls],
        "a_epochs": [call.epoch for call in calls],
        "a_steps": [call.step for call in calls],
        "a_deployments": [call.deployment for call in calls],
        "a_started": [call.started_at for call in calls],
        "a_outcomes": [call.outcome for call in calls],
        "a_error_types": [call.error_type for call in calls],
        "a_errors": [call.error for call in calls],
        "a_input": [call.usage.input_tokens for call in calls],
        "a_output": [call.usage.output_tokens for call in calls],
        "a_cached": [call.usage.cached_tokens for call in calls],
        "a_costs": [call.cost for call in calls],
        "a_latency": [call.latency_ms for call in calls],
        "a_first": [call.first_token_ms for call in calls],
    }
