"""Deliveries to tenants' receivers: leased in fair order, ended when their endpoint takes none any more.

Receivers are found by hopping from one to the next in the index of open deliveries, one probe each, however many
deliveries wait for it.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from psycopg.rows import class_row

from penstock.store.database import Database
from penstock.store.webhooks import Delivery


@dataclass(frozen=True, slots=True)
class ManagedDelivery(Delivery):
    """A leased delivery to a tenant's endpoint or callback address.

    `secret` and `previous_secret` are references (see `penstock.webhooks.secrets`); the previous one is None once its
    time is over. `failing`: the receiver's last attempt failed. `test`: it is tried once.
    """

    tenant_id: str
    url: str
    secret: str
    previous_secret: str | None
    failing: bool
    test: bool


@dataclass(frozen=True, slots=True)
class Slots:
    """How many attempts may be begun: in all, and of one receiver and one tenant, less those that are under way."""

    free: int
    per_endpoint: int
    per_tenant: int
    busy_endpoints: Mapping[str, int]
    busy_tenants: Mapping[str, int]


_OPEN_ENDPOINTS = """
WITH RECURSIVE open_endpoints AS (
    (SELECT endpoint FROM webhook_deliveries WHERE delivered_at IS NULL AND gave_up_at IS NULL
     ORDER BY endpoint LIMIT 1)
    UNION ALL
    SELECT (SELECT d.endpoint FROM webhook_deliveries d
            WHERE d.delivered_at IS NULL AND d.gave_up_at IS NULL AND d.endpoint > o.endpoint
            ORDER BY d.endpoint LIMIT 1)
    FROM open_endpoints o WHERE o.endpoint IS NOT NULL
)"""

#: the row of a delivery's endpoint `o`, where it has one; the cast must not meet other endpoints' texts
_ITS_ROW = "w.id = CASE WHEN left(o.endpoint, 3) = 'we_' THEN substr(o.endpoint, 4)::uuid END"

# A receiver whose last attempt failed gets one slot until it takes something: dead ones, however many deliveries wait
# for them, hold few. Every receiver of a tenant gets its first slot before any gets a second, and so do tenants.
_LEASE = f"""
{_OPEN_ENDPOINTS}, capacity AS (
    SELECT o.endpoint, w.url, w.secret, w.failing_since IS NOT NULL AS failing,
           CASE WHEN w.previous_secret_until > now() THEN w.previous_secret END AS previous_secret,
           greatest(0, CASE WHEN w.failing_since IS NULL THEN %(per_endpoint)s ELSE 1 END
                       - coalesce(b.attempts, 0)) AS slots
    FROM open_endpoints o LEFT JOIN webhook_endpoints w ON {_ITS_ROW}
    LEFT JOIN unnest(%(busy_endpoints)s::text[], %(busy_attempts)s::int[]) AS b(endpoint, attempts)
        ON b.endpoint = o.endpoint
    WHERE left(o.endpoint, 9) = 'callback_' OR w.enabled
), candidates AS (
    SELECT c.*, d.event_id, d.next_at FROM capacity c CROSS JOIN LATERAL (
        SELECT event_id, next_at FROM webhook_deliveries
        WHERE endpoint = c.endpoint AND next_at <= now() AND delivered_at IS NULL AND gave_up_at IS NULL
        ORDER BY next_at LIMIT c.slots FOR UPDATE SKIP LOCKED
    ) d
), placed AS (
    SELECT *, row_number() OVER (PARTITION BY endpoint ORDER BY next_at) AS place FROM candidates
), due AS (
    SELECT p.endpoint, p.event_id, p.next_at, p.failing, e.tenant_id, coalesce(p.url, e.callback_url) AS url,
           coalesce(p.secret, t.callback_secret) AS secret,
           CASE WHEN p.secret IS NOT NULL THEN p.previous_secret
                WHEN t.previous_callback_secret_until > now() THEN t.previous_callback_secret END AS previous_secret,
           row_number() OVER (PARTITION BY e.tenant_id ORDER BY p.place, p.next_at) AS place_in_tenant
    FROM placed p JOIN webhook_events e ON e.id = p.event_id JOIN tenants t ON t.id = e.tenant_id
), picked AS (
    SELECT d.* FROM due d
    LEFT JOIN unnest(%(busy_tenants)s::text[], %(tenants_attempts)s::int[]) AS b(tenant_id, attempts)
        ON b.tenant_id = d.tenant_id
    WHERE d.place_in_tenant <= %(per_tenant)s - coalesce(b.attempts, 0)
      AND split_part(d.secret, '.', 1) = ANY(%(keys)s::text[])
    ORDER BY d.place_in_tenant, d.next_at LIMIT %(free)s
)
UPDATE webhook_deliveries d
SET attempts = d.attempts + 1, next_at = now() + make_interval(secs => %(lease_seconds)s)
FROM picked p JOIN webhook_events e ON e.id = p.event_id
WHERE d.event_id = ANY(ARRAY(SELECT event_id FROM picked)) AND d.event_id = p.event_id AND d.endpoint = p.endpoint
RETURNING d.event_id, d.endpoint, d.attempts, d.attempts - d.attempts_before AS tries, e.type, e.object_id,
          e.created_at, e.test, p.tenant_id, p.url, p.secret, p.previous_secret, p.failing
"""

_END_WAITING = f"""
{_OPEN_ENDPOINTS}, closed AS (
    SELECT o.endpoint, CASE WHEN w.id IS NULL THEN 'the endpoint was deleted'
                            ELSE 'the endpoint is disabled: ' || coalesce(w.disabled_reason, 'no reason was kept') END
                       AS reason
    FROM open_endpoints o LEFT JOIN webhook_endpoints w ON {_ITS_ROW}
    WHERE left(o.endpoint, 3) = 'we_' AND (w.id IS NULL OR NOT w.enabled)
), picked AS (
    SELECT d.event_id, d.endpoint, c.reason FROM closed c CROSS JOIN LATERAL (
        SELECT event_id, endpoint FROM webhook_deliveries
        WHERE endpoint = c.endpoint AND delivered_at IS NULL AND gave_up_at IS NULL
        ORDER BY next_at LIMIT %(limit)s FOR UPDATE SKIP LOCKED
    ) d LIMIT %(limit)s
)
UPDATE webhook_deliveries d SET gave_up_at = now(), last_error = p.reason
FROM picked p
WHERE d.event_id = ANY(ARRAY(SELECT event_id FROM picked)) AND d.event_id = p.event_id AND d.endpoint = p.endpoint
"""


async def lease(
    database: Database, slots: Slots, keys: Sequence[str], *, lease_seconds: float
) -> list[ManagedDelivery]:
    """Lease deliveries that are due, as many as there are slots; nobody else gets them for `lease_seconds`.

    `keys` are the names of the secret keys that are here: what cannot be signed is left to others.

    Raises:
        Unavailable: the database cannot be reached.
    """
    params = {
        "free": slots.free,
        "per_endpoint": slots.per_endpoint,
        "per_tenant": slots.per_tenant,
        "busy_endpoints": list(slots.busy_endpoints),
        "busy_attempts": list(slots.busy_endpoints.values()),
        "busy_tenants": list(slots.busy_tenants),
        "tenants_attempts": list(slots.busy_tenants.values()),
        "keys": list(keys),
        "lease_seconds": lease_seconds,
    }
    async with database.connection() as connection, connection.cursor(row_factory=class_row(ManagedDelivery)) as cursor:
        await cursor.execute(_LEASE, params)
        return await cursor.fetchall()


async def end_waiting(database: Database, limit: int) -> int:
    """End up to `limit` deliveries that wait for an endpoint which is disabled or gone, with the reason.

    Raises:
        Unavailable: the database cannot be reached.
    """
    return await database.execute(_END_WAITING, {"limit": limit})


async def unsigned(database: Database, keys: Sequence[str]) -> int:
    """How many enabled endpoints have a secret that none of these keys made."""
    row = await database.fetch_one(
        "SELECT count(*)::int AS endpoints FROM webhook_endpoints"
        " WHERE enabled AND NOT split_part(secret, '.', 1) = ANY(%(keys)s::text[])",
        {"keys": list(keys)},
    )
    return int(row["endpoints"]) if row else 0
