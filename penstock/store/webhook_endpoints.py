"""Webhook endpoints of tenants, as rows. Secrets are not in them: see `penstock.webhooks.secrets`."""

from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from psycopg.rows import class_row

from penstock.ids import public_id
from penstock.store.database import Database

PREFIX = "we_"
#: what one tenant may have: each event is matched with all of them
MAX_PER_TENANT = 100


@dataclass(frozen=True, slots=True)
class WebhookEndpoint:
    """One endpoint. `failing_since`: no attempt has succeeded from then on; None while the last one did."""

    id: UUID
    tenant_id: str
    name: str
    description: str | None
    url: str
    event_types: list[str]
    secret: str
    enabled: bool
    disabled_reason: str | None
    failing_since: datetime | None
    created_at: datetime
    updated_at: datetime

    @property
    def public_id(self) -> str:
        """`we_…`: also what its deliveries name it by."""
        return public_id(PREFIX, self.id)


_COLUMNS = ", ".join(WebhookEndpoint.__slots__)


async def insert(
    database: Database,
    endpoint_id: UUID,
    *,
    tenant_id: str,
    name: str,
    description: str | None,
    url: str,
    event_types: list[str],
    secret: str,
) -> WebhookEndpoint | None:
    """A new endpoint, enabled; None when the tenant has `MAX_PER_TENANT` already."""
    return await _one(
        database,
        f"""
        INSERT INTO webhook_endpoints (id, tenant_id, name, description, url, event_types, secret)
        SELECT %(id)s, %(tenant_id)s, %(name)s, %(description)s, %(url)s, %(event_types)s, %(secret)s
        WHERE (SELECT count(*) FROM webhook_endpoints WHERE tenant_id = %(tenant_id)s) < %(max)s
        RETURNING {_COLUMNS}
        """,
        {
            "id": endpoint_id,
            "tenant_id": tenant_id,
            "name": name,
            "description": description,
            "url": url,
            "event_types": event_types,
            "secret": secret,
            "max": MAX_PER_TENANT,
        },
    )


async def get(database: Database, tenant_id: str, endpoint_id: UUID) -> WebhookEndpoint | None:
    """One endpoint of a tenant."""
    return await _one(
        database,
        f"SELECT {_COLUMNS} FROM webhook_endpoints WHERE id = %(id)s AND tenant_id = %(tenant_id)s",
        {"id": endpoint_id, "tenant_id": tenant_id},
    )


async def page(database: Database, tenant_id: str, after: WebhookEndpoint | None, limit: int) -> list[WebhookEndpoint]:
    """A tenant's endpoints, newest first, from just after `after`."""
    return await _many(
        database,
        f"""
        SELECT {_COLUMNS} FROM webhook_endpoints WHERE tenant_id = %(tenant_id)s
          AND (%(after_id)s::uuid IS NULL OR (created_at, id) < (%(after_at)s, %(after_id)s))
        ORDER BY created_at DESC, id DESC LIMIT %(limit)s
        """,
        {
            "tenant_id": tenant_id,
            "after_id": after.id if after else None,
            "after_at": after.created_at if after else None,
            "limit": limit,
        },
    )


async def update(
    database: Database,
    tenant_id: str,
    endpoint_id: UUID,
    *,
    name: str | None = None,
    description: str | None = None,
    url: str | None = None,
    event_types: list[str] | None = None,
    enabled: bool | None = None,
    disabled_reason: str | None = None,
) -> WebhookEndpoint | None:
    """Change what is given; None when the tenant has no such endpoint.

    A new address, or being enabled again, begins with a clean record. `disabled_reason` goes with `enabled` False.
    """
    return await _one(
        database,
        f"""
        UPDATE webhook_endpoints SET
            name = coalesce(%(name)s, name), description = coalesce(%(description)s, description),
            url = coalesce(%(url)s, url), event_types = coalesce(%(event_types)s::text[], event_types),
            enabled = coalesce(%(enabled)s, enabled),
            disabled_reason = CASE WHEN %(enabled)s::boolean IS NULL OR NOT %(enabled)s AND NOT enabled
                THEN disabled_reason ELSE %(disabled_reason)s END,
            failing_since = CASE WHEN %(url)s::text <> url OR %(enabled)s AND NOT enabled
                THEN NULL ELSE failing_since END,
            updated_at = CASE WHEN (name, description, url, event_types, enabled) IS DISTINCT FROM (
                coalesce(%(name)s, name), coalesce(%(description)s, description), coalesce(%(url)s, url),
                coalesce(%(event_types)s::text[], event_types), coalesce(%(enabled)s, enabled))
                THEN now() ELSE updated_at END
        WHERE id = %(id)s AND tenant_id = %(tenant_id)s
        RETURNING {_COLUMNS}
        """,
        {
            "id": endpoint_id,
            "tenant_id": tenant_id,
            "name": name,
            "description": description,
            "url": url,
            "event_types": event_types,
            "enabled": enabled,
            "disabled_reason": disabled_reason,
        },
    )


async def rotate(
    database: Database, tenant_id: str, endpoint_id: UUID, secret: str, *, keep_seconds: float
) -> WebhookEndpoint | None:
    """A new secret; the old one signs beside it for `keep_seconds`. None when the tenant has no such endpoint."""
    return await _one(
        database,
        f"""
        UPDATE webhook_endpoints SET secret = %(secret)s, previous_secret = secret,
            previous_secret_until = now() + make_interval(secs => %(keep)s), updated_at = now()
        WHERE id = %(id)s AND tenant_id = %(tenant_id)s RETURNING {_COLUMNS}
        """,
        {"id": endpoint_id, "tenant_id": tenant_id, "secret": secret, "keep": keep_seconds},
    )


async def delete(database: Database, tenant_id: str, endpoint_id: UUID) -> bool:
    """Remove an endpoint; its deliveries that wait end by the sweep. False: the tenant has none such."""
    return (
        await database.execute(
            "DELETE FROM webhook_endpoints WHERE id = %(id)s AND tenant_id = %(tenant_id)s",
            {"id": endpoint_id, "tenant_id": tenant_id},
        )
        == 1
    )


async def note_success(database: Database, endpoint_id: UUID) -> None:
    """An attempt succeeded: the endpoint fails no more."""
    await database.execute(
        "UPDATE webhook_endpoints SET failing_since = NULL WHERE id = %(id)s AND failing_since IS NOT NULL",
        {"id": endpoint_id},
    )


async def note_failure(database: Database, endpoint_id: UUID, *, after_seconds: float | None, reason: str) -> bool:
    """An attempt failed. The endpoint is disabled with `reason` when none has succeeded for `after_seconds`.

    `after_seconds` None: it is not disabled for this failure, whatever came before; 0: it is at once.

    Returns:
        Whether it was disabled now.
    """
    row = await database.fetch_one(
        """
        WITH judged AS (
            SELECT id, coalesce(failing_since, now()) AS since,
                   coalesce(coalesce(failing_since, now()) <= now() - make_interval(secs => %(after)s), false) AS over
            FROM webhook_endpoints WHERE id = %(id)s AND enabled FOR UPDATE
        )
        UPDATE webhook_endpoints w SET failing_since = j.since, enabled = NOT j.over,
            disabled_reason = CASE WHEN j.over THEN %(reason)s END
        FROM judged j WHERE w.id = j.id RETURNING w.enabled
        """,
        {"id": endpoint_id, "after": after_seconds, "reason": reason},
    )
    return row is not None and not row["enabled"]


async def _one(database: Database, query: str, params: dict[str, Any]) -> WebhookEndpoint | None:
    rows = await _many(database, query, params)
    return rows[0] if rows else None


async def _many(database: Database, query: str, params: dict[str, Any]) -> list[WebhookEndpoint]:
    async with database.connection() as connection, connection.cursor(row_factory=class_row(WebhookEndpoint)) as cursor:
        await cursor.execute(query, params)
        return await cursor.fetchall()
