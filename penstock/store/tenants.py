"""Tenants: whose everything is, and in which tier. Their API keys are in `penstock.store.api_keys`."""

from dataclasses import dataclass
from datetime import datetime

from penstock.store.database import Database


@dataclass(frozen=True, slots=True)
class Tenant:
    """A tenant; `keys` of it are good now."""

    id: str
    tier: str
    created_at: datetime
    keys: int


_SHOWN = """
    SELECT t.id, t.tier, t.created_at,
        (SELECT count(*) FROM api_keys k WHERE k.tenant_id = t.id AND k.revoked_at IS NULL
         AND (k.expires_at IS NULL OR k.expires_at > now())) AS keys
    FROM tenants t
"""


async def ensure_tenants(database: Database, tiers: dict[str, str]) -> None:
    """Make tenants that are new; their tier follows."""
    await database.execute(
        """
        INSERT INTO tenants (id, tier) SELECT * FROM unnest(%(ids)s::text[], %(tiers)s::text[])
        ON CONFLICT (id) DO UPDATE SET tier = excluded.tier WHERE tenants.tier <> excluded.tier
        """,
        {"ids": list(tiers), "tiers": list(tiers.values())},
    )


async def insert(database: Database, tenant_id: str, tier: str) -> bool:
    """A new tenant; False if there is one of this name."""
    made = await database.execute(
        "INSERT INTO tenants (id, tier) VALUES (%(id)s, %(tier)s) ON CONFLICT DO NOTHING",
        {"id": tenant_id, "tier": tier},
    )
    return made == 1


async def page(database: Database, after: str | None, limit: int) -> list[Tenant]:
    """Tenants by name, those after the name `after`."""
    rows = await database.fetch(
        _SHOWN + "WHERE %(after)s::text IS NULL OR t.id > %(after)s ORDER BY t.id LIMIT %(limit)s",
        {"after": after, "limit": limit},
    )
    return [Tenant(**row) for row in rows]


async def get(database: Database, tenant_id: str) -> Tenant | None:
    """One tenant."""
    row = await database.fetch_one(_SHOWN + "WHERE t.id = %(id)s", {"id": tenant_id})
    return Tenant(**row) if row else None


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
