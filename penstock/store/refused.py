"""Lines of a batch that cannot run: inserted as jobs that have failed already."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from penstock.completion.encoding import pack
from penstock.store.batches import Batch
from penstock.store.database import Connection

#: a job that never had a deployment has no flow either
_NO_FLOW, _NO_DEPLOYMENT = 0, ""


@dataclass(frozen=True, slots=True, kw_only=True)
class RefusedJob:
    """A job that fails as it is inserted. `result` is the stored outcome (JSON), with its error and `status_code`."""

    id: UUID
    line: int
    custom_id: str
    model: str
    body: bytes
    result: bytes
    status_code: int
    #: the length of its line in an error file, None where its batch has none
    line_bytes: int | None = None


async def insert(connection: Connection, batch: Batch, dialect: str, jobs: Sequence[RefusedJob]) -> None:
    """Insert them and count them as failed, in the transaction that moves the batch's position: so only once."""
    if not jobs:
        return
    params: dict[str, Any] = {
        name: [getattr(job, name) for job in jobs]
        for name in ("id", "line", "custom_id", "model", "status_code", "line_bytes")
    }
    await connection.execute(
        """
        WITH given AS (
            SELECT * FROM unnest(%(id)s::uuid[], %(line)s::int[], %(custom_id)s::text[], %(model)s::text[],
                                 %(status_code)s::smallint[], %(line_bytes)s::int[], %(body)s::bytea[],
                                 %(result)s::bytea[])
                WITH ORDINALITY AS g(id, line, custom_id, model, status_code, line_bytes, body, result, place)
        ), counted AS (
            UPDATE batches SET finished = finished + %(count)s, failed = failed + %(count)s,
                error_bytes = error_bytes + (SELECT coalesce(sum(line_bytes), 0) FROM given)
            WHERE id = %(batch_id)s
            RETURNING finished - %(count)s AS before
        ), requests AS (
            INSERT INTO job_requests (job_id, body) SELECT id, body FROM given
        ), results AS (
            INSERT INTO job_results (job_id, body) SELECT id, result FROM given
        )
        INSERT INTO jobs (id, tenant_id, batch_id, line, custom_id, dialect, model, lane, flow_id, deployment, tokens,
                          state, finished_at, status_code, line_bytes, finished_number)
        SELECT g.id, %(tenant_id)s, %(batch_id)s, g.line, g.custom_id, %(dialect)s, g.model, 'bulk', %(flow)s,
               %(deployment)s, 0, 'failed', now(), g.status_code, g.line_bytes,
               c.before + g.place
        FROM given g, counted c
        """,
        {
            **params,
            "body": [pack(job.body) for job in jobs],
            "result": [pack(job.result) for job in jobs],
            "count": len(jobs),
            "batch_id": batch.id,
            "tenant_id": batch.tenant_id,
            "dialect": dialect,
            "flow": _NO_FLOW,
            "deployment": _NO_DEPLOYMENT,
        },
    )
