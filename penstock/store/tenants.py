"""Tenants and their API keys. A key is kept as a hash only: it is shown once, when it is made."""

import hashlib
import secrets
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from penstock.ids import new_id
from penstock.store.database import Database


@dataclass(frozen=True, slots=True)
class ApiKey:
    """A key without its secret; `hint` is its first and last characters."""

    id: UUID
    tenant_id: str
    tier: str
    name: str
    hint: str
    created_at: datetime
    expires_at: datetime | None
    revoked_at: datetime | None


def key_hash(key: str) -> bytes:
    """What is stored of a key. Keys of ours are 256 random bits, so a plain fast hash is enough."""
    return hashlib.sha256(key.encode()).digest()


async def ensure_tenants(database: Database, tiers: dict[str, str]) -> None:
    """Make tenants that are new; their tier follows."""
    await database.execute(
        """
        INSERT INTO tenants (id, tier) SELECT * FROM unnest(%(ids)s::text[], %(tiers)s::text[])
        ON CONFLICT (id) DO UPDATE SET tier = excluded.tier WHERE tenants.tier <> excluded.tier
        """,
        {"ids": list(tiers), "tiers": list(tiers.values())},
    )


async def create_key(
    database: Database, tenant_id: str, tier: str, name: str, expires_at: datetime | None
) -> tuple[UUID, str]:
    """A new key of a tenant: its id and the key itself, which nothing keeps."""
    await ensure_tenants(database, {tenant_id: tier})
    key = "sk-penstock-" + secrets.token_urlsafe(32)
    key_id = new_id()
    await database.execute(
        """
        INSERT INTO api_keys (id, tenant_id, name, hash, hint, expires_at)
        VALUES (%(id)s, %(tenant_id)s, %(name)s, %(hash)s, %(hint)s, %(expires_at)s)
        """,
        {
            "id": key_id,
            "tenant_id": tenant_id,
            "name": name,
            "hash": key_hash(key),
            "hint": f"{key[:14]}…{key[-4:]}",
            "expires_at": expires_at,
        },
    )
    return key_id, key


async def find_key(database: Database, key: str) -> tuple[str, str] | None:
    """(tenant, tier) of a key that is good now."""
    row = await database.fetch_one(
        """
        SELECT t.id, t.tier FROM api_keys k JOIN tenants t ON t.id = k.tenant_id
        WHERE k.hash = %(hash)s AND k.revoked_at IS NULL AND (k.expires_at IS NULL OR k.expires_at > now())
        """,
        {"hash": key_hash(key)},
    )
    return (row["id"], row["tier"]) if row else None


async def list_keys(database: Database) -> list[ApiKey]:
    """Every key, newest first."""
    rows = await database.fetch(
        """
        SELECT k.id, k.tenant_id, t.tier, k.name, k.hint, k.created_at, k.expires_at, k.revoked_at
        FROM api_keys k JOIN tenants t ON t.id = k.tenant_id ORDER BY k.created_at DESC, k.id DESC
        """
    )
    return [ApiKey(**row) for row in rows]


async def revoke_key(database: Database, key_id: UUID) -> bool:
    """End a key; False if there is none or it had ended."""
    return (
        await database.execute(
            "UPDATE api_keys SET revoked_at = now() WHERE id = %(id)s AND revoked_at IS NULL", {"id": key_id}
        )
        == 1
    )


@dataclass(frozen=True, slots=True)
class CallbackSecret:
    """References of the secrets that sign a tenant's callbacks; see `penstock.webhooks.secrets`."""

    secret: str
    previous_until: datetime | None


async def callback_secret(database: Database, tenant_id: str, new: str) -> CallbackSecret:
    """The tenant's callback secret; `new` becomes it where there was none."""
    await database.execute(
        "UPDATE tenants SET callback_secret = %(new)s WHERE id = %(id)s AND callback_secret IS NULL",
        {"id": tenant_id, "new": new},
    )
    row = await database.fetch_one(
        "SELECT callback_secret, CASE WHEN previous_callback_secret_until > now() THEN previous_callback_secret_until"
        " END AS until FROM tenants WHERE id = %(id)s",
        {"id": tenant_id},
    )
    assert row is not None  # a principal's tenant exists
    return CallbackSecret(row["callback_secret"], row["until"])


async def rotate_callback_secret(database: Database, tenant_id: str, new: str, *, keep_seconds: float) -> None:
    """A new callback secret; the old one signs beside it for `keep_seconds`."""
    await database.execute(
        """
        UPDATE tenants SET callback_secret = %(new)s, previous_callback_secret = callback_secret,
            previous_callback_secret_until = now() + make_interval(secs => %(keep)s)
        WHERE id = %(id)s
        """,
        {"id": tenant_id, "new": new, "keep": keep_seconds},
    )
