"""Marks that end the life of cached answers: all that a tenant's caches made up to a moment, of a model, with a tag.

The exact cache has no list of what it holds, and each worker keeps entries of its own. So an invalidation does not look
for them: it is a mark here, which workers know within a second or two, and an entry made before it is not served.
Answers of the semantic cache are in the same database and are removed at once.
"""

from dataclasses import dataclass

from penstock.store.database import Connection, Database

_PRUNE = 1000


@dataclass(frozen=True, slots=True)
class Scope:
    """What an invalidation is about; an empty text stands for every tenant, model or tag.

    A model is named as clients ask for it, or as it is configured: an answer belongs to both names.
    """

    tenant_id: str
    model: str = ""
    tag: str = ""


@dataclass(frozen=True, slots=True)
class Mark:
    """Nothing of `scope` made up to `before` (seconds since 1970) is served."""

    scope: Scope
    before: float


@dataclass(frozen=True, slots=True)
class Invalidated:
    """What an invalidation did: up to when it holds (seconds since 1970), and how many semantic answers it removed."""

    before: float
    removed: int


async def invalidate(database: Database, scope: Scope, *, older_than: float = 0.0) -> Invalidated:
    """Serve nothing of `scope` any more that is older than so many seconds; what is made from now on is served."""
    async with database.transaction() as connection:
        row = await (
            await connection.execute(
                """
                INSERT INTO cache_marks AS mark (tenant_id, model, tag, before)
                VALUES (%(tenant_id)s, %(model)s, %(tag)s,
                        clock_timestamp() - make_interval(secs => %(older_than)s))
                ON CONFLICT (tenant_id, model, tag) DO UPDATE SET before = greatest(mark.before, excluded.before)
                RETURNING extract(epoch FROM before)::float8 AS before
                """,
                {"tenant_id": scope.tenant_id, "model": scope.model, "tag": scope.tag, "older_than": older_than},
            )
        ).fetchone()
        assert row is not None  # the statement returns the row that it wrote
        removed = await _remove(connection, scope, row["before"])
    return Invalidated(row["before"], removed)


async def _remove(connection: Connection, scope: Scope, before: float) -> int:
    there = await (await connection.execute("SELECT to_regclass('semantic_answers') IS NOT NULL AS there")).fetchone()
    if not there or not there["there"]:
        return 0
    done = await connection.execute(
        """
        DELETE FROM semantic_answers
        WHERE %(tenant_id)s IN ('', tenant_id) AND %(model)s IN ('', model, deployment)
          AND (%(tag)s = '' OR %(tag)s = ANY(tags)) AND created_at <= to_timestamp(%(before)s)
        """,
        {"tenant_id": scope.tenant_id, "model": scope.model, "tag": scope.tag, "before": before},
    )
    return done.rowcount


async def load(database: Database) -> list[Mark]:
    """Every mark."""
    rows = await database.fetch(
        "SELECT tenant_id, model, tag, extract(epoch FROM before)::float8 AS before FROM cache_marks"
    )
    return [Mark(Scope(row["tenant_id"], row["model"], row["tag"]), row["before"]) for row in rows]


async def prune(database: Database, longest: float) -> int:
    """Remove some marks that no answer is older than, as none is kept for more than `longest` seconds."""
    return await database.execute(
        """
        DELETE FROM cache_marks WHERE (tenant_id, model, tag) IN (
            SELECT tenant_id, model, tag FROM cache_marks
            WHERE before < now() - make_interval(secs => %(longest)s) LIMIT %(limit)s)
        """,
        {"longest": longest, "limit": _PRUNE},
    )
