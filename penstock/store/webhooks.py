"""The webhook outbox: events, and their deliveries to each endpoint.

An event is inserted in the transaction that ends its object. Fanning out and leasing are one statement each, so both
are committed before anything is sent. Times are the database's own.

The endpoint of a delivery is a text: `static_…` is one of the configuration, `we_…` one of a tenant
(`webhook_endpoints`), `callback_…` stands for all callback addresses of one tenant at one host.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from psycopg.rows import class_row

from penstock.ids import new_ids
from penstock.store.database import Connection, Database


@dataclass(frozen=True, slots=True, order=True)
class NewEvent:
    """An outcome somebody may want to hear of. `object_id` is the public id (`batch_…`, `resp_…`)."""

    object_id: str
    type: str
    tenant_id: str


@dataclass(frozen=True, slots=True)
class Subscription:
    """One wish of one endpoint: events of this tenant and type; None means all."""

    endpoint: str
    tenant_id: str | None
    type: str | None


@dataclass(frozen=True, slots=True)
class Delivery:
    """A leased delivery. `attempts` counts this one, and is the lease's fence.

    `tries` counts from when it was last asked for: the schedule begins anew when somebody wants it delivered again.
    """

    event_id: UUID
    endpoint: str
    attempts: int
    tries: int
    type: str
    object_id: str
    created_at: datetime


# The end of a statement: events for the jobs in a CTE `ended` (id, tenant_id, batch_id, dialect, background, state,
# callback_url) that ended without a worker, by the rule of `penstock.execution.pipeline`. Lines of batches have none.
EVENTS_OF_ENDED = """
    INSERT INTO webhook_events (id, tenant_id, type, object_id, callback_url)
    SELECT gen_random_uuid(), tenant_id,
           CASE dialect WHEN 'job' THEN 'job.' ELSE 'response.' END
               || CASE WHEN dialect <> 'job' AND state = 'expired' THEN 'failed' ELSE state::text END,
           CASE dialect WHEN 'job' THEN 'job_' ELSE 'resp_' END || replace(id::text, '-', ''), callback_url
    FROM ended
    WHERE state IN ('failed', 'cancelled', 'expired') AND background AND batch_id IS NULL
      AND dialect IN ('job', 'openai.responses')
    ON CONFLICT (object_id, type) DO NOTHING
"""

# The array and not a join: a join of so small a set is planned as a merge over the whole table.
_FAN_OUT = """
WITH claimed AS (
    SELECT id, tenant_id, type, callback_url FROM webhook_events WHERE NOT fanned_out
    ORDER BY id LIMIT %(limit)s FOR UPDATE SKIP LOCKED
), wanted AS (
    SELECT * FROM unnest(%(endpoints)s::text[], %(tenants)s::text[], %(types)s::text[]) AS w(endpoint, tenant_id, type)
), receivers AS (
    SELECT c.id, w.endpoint FROM claimed c JOIN wanted w
        ON (w.tenant_id IS NULL OR w.tenant_id = c.tenant_id) AND (w.type IS NULL OR w.type = c.type)
    UNION SELECT c.id, 'we_' || replace(w.id::text, '-', '') FROM claimed c JOIN webhook_endpoints w
        ON w.tenant_id = c.tenant_id AND w.enabled AND c.type = ANY(w.event_types)
    UNION SELECT id, 'callback_' || left(encode(sha256(convert_to(
        tenant_id || E'\n' || substring(callback_url from '^[a-z]+://[^/?]+'), 'UTF8')), 'hex'), 16)
        FROM claimed WHERE callback_url IS NOT NULL
), deliveries AS (
    INSERT INTO webhook_deliveries (event_id, endpoint) SELECT id, endpoint FROM receivers
    ON CONFLICT (event_id, endpoint) DO NOTHING
)
UPDATE webhook_events SET fanned_out = true WHERE id = ANY(ARRAY(SELECT id FROM claimed))
"""

_LEASE = """
WITH capacity AS (
    SELECT * FROM unnest(%(endpoints)s::text[], %(slots)s::int[]) AS c(endpoint, slots)
), picked AS (
    SELECT d.event_id, d.endpoint FROM capacity c CROSS JOIN LATERAL (
        SELECT event_id, endpoint FROM webhook_deliveries
        WHERE endpoint = c.endpoint AND next_at <= now() AND delivered_at IS NULL AND gave_up_at IS NULL
        ORDER BY next_at LIMIT c.slots FOR UPDATE SKIP LOCKED
    ) d
)
UPDATE webhook_deliveries d
SET attempts = d.attempts + 1, next_at = now() + make_interval(secs => %(lease_seconds)s)
FROM webhook_events e
WHERE d.event_id = ANY(ARRAY(SELECT event_id FROM picked))
  AND (d.event_id, d.endpoint) IN (SELECT event_id, endpoint FROM picked) AND e.id = d.event_id
RETURNING d.event_id, d.endpoint, d.attempts, d.attempts - d.attempts_before AS tries,
          e.type, e.object_id, e.created_at
"""

_DELIVERED = """
UPDATE webhook_deliveries SET delivered_at = now(), gave_up_at = NULL, last_status = %(status)s, last_error = NULL
WHERE event_id = %(event_id)s AND endpoint = %(endpoint)s AND delivered_at IS NULL
"""

_RETRY = """
UPDATE webhook_deliveries
SET next_at = now() + make_interval(secs => %(delay)s), last_status = %(status)s, last_error = %(error)s
WHERE event_id = %(event_id)s AND endpoint = %(endpoint)s AND attempts = %(attempts)s
  AND delivered_at IS NULL AND gave_up_at IS NULL
"""

_GIVE_UP = """
UPDATE webhook_deliveries SET gave_up_at = now(), last_status = %(status)s, last_error = %(error)s
WHERE event_id = %(event_id)s AND endpoint = %(endpoint)s AND attempts = %(attempts)s
  AND delivered_at IS NULL AND gave_up_at IS NULL
"""

_END_UNKNOWN = """
UPDATE webhook_deliveries SET gave_up_at = now(), last_error = %(reason)s
WHERE (event_id, endpoint) IN (
    SELECT event_id, endpoint FROM webhook_deliveries
    WHERE next_at < now() - make_interval(secs => %(overdue_seconds)s)
      AND delivered_at IS NULL AND gave_up_at IS NULL
      AND left(endpoint, 7) = 'static_' AND endpoint <> ALL(%(known)s::text[])
    ORDER BY next_at LIMIT 1000 FOR UPDATE SKIP LOCKED
)
"""


async def insert_events(connection: Connection, rows: Iterable[NewEvent]) -> int:
    """Add events inside the caller's transaction; a pair of object and type that exists is left alone.

    The rows are inserted in one order: two transactions with the same events in other orders would deadlock.

    Returns:
        How many were new.
    """
    events = sorted(rows)
    if not events:
        return 0
    cursor = await connection.execute(
        "INSERT INTO webhook_events (id, tenant_id, type, object_id)"
        " SELECT * FROM unnest(%(ids)s::uuid[], %(tenants)s::text[], %(types)s::text[], %(objects)s::text[])"
        " ON CONFLICT (object_id, type) DO NOTHING",
        {
            "ids": list(new_ids(len(events))),
            "tenants": [event.tenant_id for event in events],
            "types": [event.type for event in events],
            "objects": [event.object_id for event in events],
        },
    )
    return cursor.rowcount


async def fan_out(database: Database, subscriptions: Sequence[Subscription], *, limit: int) -> int:
    """Give up to `limit` new events a delivery for each endpoint that wants them, and for their own callback address.

    `subscriptions` are the static endpoints'; those of tenants are in the database.

    Returns:
        How many events were taken; `limit` of them means that there may be more.

    Raises:
        Unavailable: the database cannot be reached.
    """
    params = {
        "limit": limit,
        "endpoints": [s.endpoint for s in subscriptions],
        "tenants": [s.tenant_id for s in subscriptions],
        "types": [s.type for s in subscriptions],
    }
    return await database.execute(_FAN_OUT, params)


async def lease_due(database: Database, slots: Mapping[str, int], *, lease_seconds: float) -> list[Delivery]:
    """Lease deliveries that are due, for each endpoint at most as many as it has slots.

    Nobody else gets them for `lease_seconds`; whoever dies meanwhile leaves them to be leased again.

    Raises:
        Unavailable: the database cannot be reached.
    """
    params = {"endpoints": list(slots), "slots": list(slots.values()), "lease_seconds": lease_seconds}
    async with database.connection() as connection, connection.cursor(row_factory=class_row(Delivery)) as cursor:
        await cursor.execute(_LEASE, params)
        return await cursor.fetchall()


async def mark_delivered(database: Database, delivery: Delivery, *, status: int) -> None:
    """The receiver took it. Not fenced: even a late success means that nothing more need be sent.

    Raises:
        Unavailable: the database cannot be reached; asking again is harmless.
    """
    await _mark(database, _DELIVERED, delivery, status=status)


async def mark_retry(database: Database, delivery: Delivery, *, delay: float, status: int | None, error: str) -> None:
    """The attempt failed; the next one is due in `delay` seconds. Without effect once somebody leased it anew.

    Raises:
        Unavailable: see `mark_delivered`.
    """
    await _mark(database, _RETRY, delivery, delay=delay, status=status, error=error)


async def give_up(database: Database, delivery: Delivery, *, status: int | None, error: str) -> None:
    """Nothing more is tried. Without effect once somebody leased it anew.

    Raises:
        Unavailable: see `mark_delivered`.
    """
    await _mark(database, _GIVE_UP, delivery, status=status, error=error)


async def end_unknown(database: Database, known: Sequence[str], *, overdue_seconds: float, reason: str) -> int:
    """End deliveries to static endpoints that are not `known` and that nobody has taken for `overdue_seconds`.

    The wait keeps a process that still has an older configuration from ending what a newer one is about to deliver.

    Returns:
        How many were ended.

    Raises:
        Unavailable: the database cannot be reached.
    """
    params = {"known": list(known), "overdue_seconds": overdue_seconds, "reason": reason}
    return await database.execute(_END_UNKNOWN, params)


async def _mark(database: Database, query: str, delivery: Delivery, **values: float | str | None) -> None:
    params = {
        "event_id": delivery.event_id,
        "endpoint": delivery.endpoint,
        "attempts": delivery.attempts,
        **values,
    }
    await database.execute(query, params)
