"""Shadow samples: accepted cheap answers for which the strong model was asked too, by a job of its own."""

from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal
from uuid import UUID

from penstock.completion.encoding import pack, unpack
from penstock.store.database import Connection, Database


@dataclass(frozen=True, slots=True)
class Shadow:
    """A sample: `job_id` asks the strong model what `of_job` was answered; `rule` says how answers are compared."""

    job_id: UUID
    of_job: UUID
    route: str
    version: int
    rule: str
    answer: str


@dataclass(frozen=True, slots=True)
class Answered:
    """A sample whose job has ended: `result` is its stored outcome, None where it has none (any more)."""

    job_id: UUID
    rule: str
    answer: str
    succeeded: bool
    result: bytes | None
    cost: Decimal | None


@dataclass(frozen=True, slots=True)
class Tally:
    """What samples came to: those compared, those that said the same, and what all of them cost (US dollars)."""

    asked: int
    compared: int
    agreed: int
    cost: Decimal


async def add(connection: Connection, shadow: Shadow) -> bool:
    """Note a sample in the transaction that makes its job; False where there is one of this job already."""
    cursor = await connection.execute(
        """
        INSERT INTO route_shadows (job_id, of_job, route, version, rule, answer)
        VALUES (%(job_id)s, %(of_job)s, %(route)s, %(version)s, %(rule)s, %(answer)s)
        ON CONFLICT (of_job) DO NOTHING
        """,
        {
            "job_id": shadow.job_id,
            "of_job": shadow.of_job,
            "route": shadow.route,
            "version": shadow.version,
            "rule": shadow.rule,
            "answer": pack(shadow.answer.encode("utf-8", "replace")),
        },
    )
    return cursor.rowcount == 1


async def answered(database: Database, limit: int) -> list[Answered]:
    """Samples whose jobs have ended and that were not compared yet. A job that is gone counts as failed."""
    rows = await database.fetch(
        """
        SELECT s.job_id, s.rule, s.answer, coalesce(j.state = 'succeeded', false) AS succeeded, r.body AS result,
               (SELECT sum(a.cost) FROM attempts a WHERE a.job_id = s.job_id) AS cost
        FROM route_shadows s LEFT JOIN jobs j ON j.id = s.job_id LEFT JOIN job_results r ON r.job_id = s.job_id
        WHERE s.compared_at IS NULL AND (j.id IS NULL OR j.state IN ('succeeded', 'failed', 'cancelled', 'expired'))
        ORDER BY s.created_at LIMIT %(limit)s
        """,
        {"limit": limit},
    )
    return [
        Answered(
            row["job_id"],
            row["rule"],
            unpack(row["answer"]).decode("utf-8", "replace") if row["answer"] is not None else "",
            row["succeeded"],
            unpack(row["result"]) if row["result"] is not None else None,
            row["cost"],
        )
        for row in rows
    ]


async def settle(database: Database, compared: Sequence[tuple[UUID, bool | None, Decimal | None]]) -> None:
    """Keep what comparisons came to, None where there was nothing to compare; the answers kept for them go."""
    await database.execute(
        """
        UPDATE route_shadows s SET compared_at = now(), agreed = c.agreed, cost = c.cost, answer = NULL
        FROM unnest(%(ids)s::uuid[], %(agreed)s::bool[], %(costs)s::numeric[]) AS c(job_id, agreed, cost)
        WHERE s.job_id = c.job_id
        """,
        {
            "ids": [job_id for job_id, _, _ in compared],
            "agreed": [agreed for _, agreed, _ in compared],
            "costs": [cost for _, _, cost in compared],
        },
    )


async def recent(database: Database, route: str, version: int, hours: float) -> Tally:
    """What the samples of the last `hours` came to."""
    row = await database.fetch_one(
        """
        SELECT count(*) AS asked, count(agreed) AS compared, count(*) FILTER (WHERE agreed) AS agreed,
               coalesce(sum(cost), 0) AS cost
        FROM route_shadows WHERE route = %(route)s AND version = %(version)s
          AND created_at > now() - make_interval(secs => %(hours)s::float8 * 3600)
        """,
        {"route": route, "version": version, "hours": hours},
    )
    assert row is not None  # an aggregate has one row
    return Tally(**row)


async def forget(database: Database, older_than_seconds: float, limit: int) -> int:
    """Remove samples made so long ago; returns how many."""
    return await database.execute(
        """
        DELETE FROM route_shadows WHERE job_id = ANY(ARRAY(
            SELECT job_id FROM route_shadows WHERE created_at < now() - make_interval(secs => %(age)s)
            LIMIT %(limit)s FOR UPDATE SKIP LOCKED))
        """,
        {"age": older_than_seconds, "limit": limit},
    )
