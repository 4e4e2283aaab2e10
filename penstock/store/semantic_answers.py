"""Answers of the semantic cache, found by the vector of their question within one scope of one tenant.

The tables are there only where Postgres has pgvector (`available`). A scope, which is a hash of the model and of
everything in the request but its last question, is searched whole.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal

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
    """A stored question, how near it is (cosine), its vector, and what its answer had cost in US dollars."""

    id: int
    question: str
    cosine: float
    vector: Sequence[float]
    cost: Decimal | None


@dataclass(frozen=True, slots=True)
class NewAnswer:
    """An answer to be kept.

    `deployment` is the configured model that gave it, `age` the seconds since its call began, `cost` in US dollars
    (None: unknown).
    """

    question: str
    vector: Sequence[float]
    body: bytes
    deployment: str = ""
    tags: Sequence[str] = ()
    age: float = 0.0
    cost: Decimal | None = None


@dataclass(frozen=True, slots=True)
class Shadow:
    """A question that was asked while nothing was served, and its nearest stored one that passed the gate.

    `score` is how near it was, `agreement` how alike the stored and the real answer were (a cosine). None: there was
    none.
    """

    asked: str
    stored: str | None = None
    score: float | None = None
    agreement: float | None = None


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
        SELECT id, question, vector::real[] AS vector, cost, 1 - (vector <=> %(vector)s::text::vector) AS cosine
        FROM (SELECT id, question, cost, vector FROM semantic_answers
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
    return [Neighbour(row["id"], row["question"], float(row["cosine"]), row["vector"], row["cost"]) for row in rows]


async def body(database: Database, answer_id: int) -> bytes | None:
    """The body of an answer, None where it was removed meanwhile."""
    row = await database.fetch_one("SELECT body FROM semantic_answers WHERE id = %(id)s", {"id": answer_id})
    return bytes(row["body"]) if row else None


async def add(database: Database, place: Place, answer: NewAnswer, *, ttl: float) -> bool:
    """Keep an answer for `ttl` seconds; False: it was invalidated since its call began."""
    return bool(
        await database.execute(
            """
            INSERT INTO semantic_answers (tenant_id, scope, model, deployment, encoder, question, vector, body, tags,
                                          cost, created_at, expires_at)
            SELECT %(tenant_id)s, %(scope)s, %(model)s, %(deployment)s, %(encoder)s, %(question)s,
                   %(vector)s::text::vector, %(body)s, %(tags)s, %(cost)s, began, now() + make_interval(secs => %(ttl)s)
            FROM (SELECT now() - make_interval(secs => %(age)s) AS began) call
            WHERE NOT EXISTS (
                SELECT FROM cache_marks WHERE tenant_id IN ('', %(tenant_id)s)
                  AND model IN ('', %(model)s, %(deployment)s) AND (tag = '' OR tag = ANY(%(tags)s))
                  AND before >= began)
            """,
            {
                "tenant_id": place.tenant_id,
                "scope": place.scope,
                "model": place.model,
                "encoder": place.encoder,
                "question": answer.question,
                "vector": _text(answer.vector),
                "body": answer.body,
                "deployment": answer.deployment,
                "cost": answer.cost,
                "tags": list(answer.tags),
                "age": answer.age,
                "ttl": ttl,
            },
        )
    )


async def prune(database: Database, most: int) -> int:
    """Remove some answers whose time is over, or that are older than the newest `most` of their tenant."""
    return await database.execute(
        """
        DELETE FROM semantic_answers WHERE id = ANY(ARRAY(
            (SELECT id FROM semantic_answers WHERE expires_at <= now() ORDER BY expires_at LIMIT %(limit)s)
            UNION
            (SELECT id FROM (SELECT id, row_number() OVER (PARTITION BY tenant_id ORDER BY id DESC) AS place
                             FROM semantic_answers) ranked
             WHERE place > %(most)s LIMIT %(limit)s)))
        """,
        {"limit": _PRUNE, "most": most},
    )


async def prune_shadows(database: Database, *, older_than: float, most: int) -> int:
    """Remove some notes older than so many seconds, or than the newest `most` of their tenant and model."""
    return await database.execute(
        """
        DELETE FROM semantic_shadows WHERE id = ANY(ARRAY(
            (SELECT id FROM semantic_shadows WHERE created_at < now() - make_interval(secs => %(older_than)s)
             LIMIT %(limit)s)
            UNION
            (SELECT id FROM (SELECT id, row_number() OVER (PARTITION BY tenant_id, model ORDER BY id DESC) AS place
                             FROM semantic_shadows) ranked
             WHERE place > %(most)s LIMIT %(limit)s)))
        """,
        {"limit": _PRUNE, "most": most, "older_than": older_than},
    )


async def note_shadow(database: Database, place: Place, shadow: Shadow) -> None:
    """Keep what was asked, and what would have been served."""
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
    """What a tenant asked while nothing was served, oldest first."""
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
