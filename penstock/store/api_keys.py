"""API keys as rows. What is kept of a key is its digest (`penstock.rules.api_keys`); the key itself is shown once."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from penstock.ids import new_id
from penstock.store.database import Database


@dataclass(frozen=True, slots=True)
class ApiKey:
    """A key without its secret. `hint` is what it may be recognised by."""

    id: UUID
    tenant_id: str
    tier: str
    name: str
    hint: str
    scopes: list[str]
    residency: str | None
    created_at: datetime
    expires_at: datetime | None
    revoked_at: datetime | None


@dataclass(frozen=True, slots=True)
class GoodKey:
    """Whom a key that is good now speaks for, and which of the digests it was found by."""

    id: UUID
    tenant_id: str
    tier: str
    scopes: list[str]
    residency: str | None
    digest: bytes


_SHOWN = """
    SELECT k.id, k.tenant_id, t.tier, k.name, k.hint, k.scopes, k.residency, k.created_at, k.expires_at, k.revoked_at
    FROM api_keys k JOIN tenants t ON t.id = k.tenant_id
"""


async def insert(
    database: Database,
    *,
    tenant_id: str,
    name: str,
    scopes: list[str],
    digest: bytes,
    hint: str,
    expires_in_days: int | None,
    residency: str | None = None,
) -> ApiKey:
    """A new key of a tenant that is there."""
    key_id = new_id()
    await database.execute(
        """
        INSERT INTO api_keys (id, tenant_id, name, scopes, residency, hash, hint, expires_at)
        VALUES (%(id)s, %(tenant_id)s, %(name)s, %(scopes)s, %(residency)s, %(digest)s, %(hint)s,
                now() + make_interval(days => %(days)s))
        """,
        {
            "id": key_id,
            "tenant_id": tenant_id,
            "name": name,
            "scopes": scopes,
            "residency": residency,
            "digest": digest,
            "hint": hint,
            "days": expires_in_days,
        },
    )
    return await _inserted(database, key_id)


async def find(database: Database, digests: Sequence[bytes]) -> GoodKey | None:
    """The key with one of these digests, if it is good now."""
    row = await database.fetch_one(
        """
        SELECT k.id, t.id AS tenant_id, t.tier, k.scopes, k.residency, k.hash AS digest
        FROM api_keys k JOIN tenants t ON t.id = k.tenant_id
        WHERE k.hash = ANY(%(digests)s) AND k.revoked_at IS NULL AND (k.expires_at IS NULL OR k.expires_at > now())
        """,
        {"digests": list(digests)},
    )
    return GoodKey(**row) if row else None


async def keep_as(database: Database, key_id: UUID, digest: bytes) -> None:
    """Keep a key by another digest from now on."""
    await database.execute("UPDATE api_keys SET hash = %(digest)s WHERE id = %(id)s", {"id": key_id, "digest": digest})


async def page(database: Database, tenant_id: str | None, after: UUID | None, limit: int) -> list[ApiKey]:
    """Keys, newest first: of one tenant or of all, those made before the key `after`."""
    rows = await database.fetch(
        _SHOWN
        + """
        WHERE (%(tenant_id)s::text IS NULL OR k.tenant_id = %(tenant_id)s)
          AND (%(after)s::uuid IS NULL OR k.id < %(after)s)
        ORDER BY k.id DESC LIMIT %(limit)s
        """,
        {"tenant_id": tenant_id, "after": after, "limit": limit},
    )
    return [ApiKey(**row) for row in rows]


async def revoke(database: Database, key_id: UUID) -> bool:
    """End a key; False if there is none or it had ended."""
    ended = await database.execute(
        "UPDATE api_keys SET revoked_at = now() WHERE id = %(id)s AND revoked_at IS NULL", {"id": key_id}
    )
    return ended == 1


async def rotate(database: Database, key_id: UUID, digest: bytes, hint: str, *, keep_seconds: float) -> ApiKey | None:
    """A new key in the place of one that is good now, with all it had, also how long it was to live.

    The old one ends after `keep_seconds`, or when it would have ended anyway. None: there is no such key.
    """
    new = new_id()
    made = await database.execute(
        """
        WITH old AS (
            UPDATE api_keys SET expires_at = least(expires_at, now() + make_interval(secs => %(keep)s)),
                                revoked_at = CASE WHEN %(keep)s <= 0 THEN now() END
            FROM (SELECT id, expires_at - created_at AS lifetime FROM api_keys WHERE id = %(id)s
                  AND revoked_at IS NULL AND (expires_at IS NULL OR expires_at > now()) FOR UPDATE) AS was
            WHERE api_keys.id = was.id
            RETURNING tenant_id, name, scopes, residency, was.lifetime
        )
        INSERT INTO api_keys (id, tenant_id, name, scopes, residency, hash, hint, expires_at)
        SELECT %(new)s, tenant_id, name, scopes, residency, %(digest)s, %(hint)s, now() + lifetime FROM old
        """,
        {"id": key_id, "new": new, "digest": digest, "hint": hint, "keep": keep_seconds},
    )
    return await _inserted(database, new) if made else None


async def _inserted(database: Database, key_id: UUID) -> ApiKey:
    row = await database.fetch_one(_SHOWN + "WHERE k.id = %(id)s", {"id": key_id})
    assert row is not None  # keys are never deleted
    return ApiKey(**row)
