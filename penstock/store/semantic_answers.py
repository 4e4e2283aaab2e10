"""Answers of the semantic cache, found by the vector of their question within one scope of one tenant.

The tables are there only where Postgres has pgvector (`available`). A scope, which is a hash of the model and of
everything in the request but its last question, is searched whole.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from penstock.store.database import Database

#: answers of one scope that are compared, newest first: bounds what a search costs
MOST_COMPARED = 20_000
_PRUNE = 1000


@dataclass(frozen=True, slots=True)
class Place:
    """Where an answer belongs. Nothing is found from another tenant, scope or encoder."""

    tenant_id: str
    scope: bytes
    model: str
    encoder: str


@dataclass(frozen=True, slots=True)
class Neighbour:
    """A stored question: how near it is (cosine) and the body of its answer."""

    question: str
    cosine: float
    body: bytes


@dataclass(frozen=True, slots=True)
class Shadow:
    """What a hit would have served: its score, and how alike the stored and the real answer were."""

    asked: str
    stored: str
    score: float
    agreement: float


async def available(database: Database) -> bool:
    """Whether this database can hold a semantic cache."""
    row = await database.fetch_one("SELECT to_regclass('semantic_answers') IS NOT NULL AS there")
    return bool(row and row["there"])


async def nearest(
    database: Database, place: Place, vector: Sequence[float], *, limit: int, max_age: float | None = None
) -> list[Neighbour]:
    """The nearest questions, nearest first; none older than `max_age` seconds."""
    rows = await database.fetch(
        """
        SELECT question, body, 1 - (vector <=> %(vector)s::text::vector) AS cosine
        FROM (SELECT question, body, vector FROM semantic_answers
              WHERE tenant_id = %(tenant_id)s AND scope = %(scope)s AND encoder = %(encoder)s AND expires_at > now()
                AND (%(max_age)s::float8 IS NULL OR created_at > now() - make_interval(secs => %(max_age)s))
              ORDER BY id DESC LIMIT %(compared)s) newest
        ORDER BY vector <=> %(vector)s::text::vector LIMIT %(limit)s
        """,
        {
            "tenant_id": place.tenant_id,
            "scope": place.scope,
            "encoder": place.encoder,
            "vector": _text(vector),
            "max_age": max_age,
            "compared": MOST_COMPARED,
            "limit": limit,
        },
    )
    return [Neighbour(row["question"], float(row["cosine"]), bytes(row["body"])) for row in rows]


async def add(
    database: Database,
    place: Place,
    question: str,
    vector: Sequence[float],
    body: bytes,
    *,
    ttl: float,
    tags: Sequence[str] = (),
) -> None:
    """Keep an answer for `ttl` seconds."""
    await database.execute(
        """
        INSERT INTO semantic_answers (tenant_id, scope, model, encoder, question, vector, body, tags, expires_at)
        VALUES (%(tenant_id)s, %(scope)s, %(model)s, %(encoder)s, %(question)s, %(vector)s::text::vector, %(body)s,
                %(tags)s, now() + make_interval(secs => %(ttl)s))
        """,
        {
            "tenant_id": place.tenant_id,
            "scope": place.scope,
            "model": place.model,
            "encoder": place.encoder,
            "question": question,
            "vector": _text(vector),
            "body": body,
            "tags": list(tags),
            "ttl": ttl,
        },
    )


async def forget(
    database: Database,
    tenant_id: str,
    *,
    tag: str | None = None,
    model: str | None = None,
    older_than: float | None = None,
) -> int:
    """Remove a tenant's answers that match all of what is given (`older_than` in seconds); returns how many."""
    return await database.execute(
        """
        DELETE FROM semantic_answers WHERE tenant_id = %(tenant_id)s
          AND (%(tag)s::text IS NULL OR %(tag)s = ANY(tags))
          AND (%(model)s::text IS NULL OR model = %(model)s)
          AND (%(age)s::float8 IS NULL OR created_at < now() - make_interval(secs => %(age)s))
        """,
        {"tenant_id": tenant_id, "tag": tag, "model": model, "age": older_than},
    )


async def prune(database: Database) -> int:
    """Remove some answers whose time is over; returns how many."""
    return await database.execute(
        """
        DELETE FROM semantic_answers WHERE id = ANY(ARRAY(
            SELECT id FROM semantic_answers WHERE expires_at <= now() ORDER BY expires_at LIMIT %(limit)s))
        """,
        {"limit": _PRUNE},
    )


async def note_shadow(database: Database, place: Place, shadow: Shadow) -> None:
    """Keep what a hit would have served."""
    await database.execute(
        """
        INSERT INTO semantic_shadows (tenant_id, model, encoder, asked, stored, score, agreement)
        VALUES (%(tenant_id)s, %(model)s, %(encoder)s, %(asked)s, %(stored)s, %(score)s, %(agreement)s)
        """,
        {
            "tenant_id": place.tenant_id,
            "model": place.model,
            "encoder": place.encoder,
            "asked": shadow.asked,
            "stored": shadow.stored,
            "score": shadow.score,
            "agreement": shadow.agreement,
        },
    )


async def shadows(database: Database, tenant_id: str, model: str, encoder: str) -> list[Shadow]:
    """What hits would have served to a tenant."""
    rows = await database.fetch(
        """
        SELECT asked, stored, score, agreement FROM semantic_shadows
        WHERE tenant_id = %(tenant_id)s AND model = %(model)s AND encoder = %(encoder)s ORDER BY id
        """,
        {"tenant_id": tenant_id, "model": model, "encoder": encoder},
    )
    return [Shadow(**row) for row in rows]


def _text(vector: Sequence[float]) -> str:
    return "[" + ",".join(f"{value:.6g}" for value in vector) + "]"
