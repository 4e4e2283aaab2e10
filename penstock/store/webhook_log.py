"""The log of deliveries: read in pages, delivered again on request, pruned when it is old; and test events."""

from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from psycopg.rows import class_row

from penstock.ids import new_id
from penstock.store.database import Database


@dataclass(frozen=True, slots=True)
class LoggedDelivery:
    """One delivery as its tenant sees it. `next_at` counts only while it is neither delivered nor given up."""

    event_id: UUID
    endpoint: str
    type: str
    object_id: str
    test: bool
    callback_url: str | None
    attempts: int
    last_status: int | None
    last_error: str | None
    created_at: datetime
    next_at: datetime
    delivered_at: datetime | None
    gave_up_at: datetime | None


_VIEW = """
SELECT d.event_id, d.endpoint, e.type, e.object_id, e.test, e.callback_url, d.attempts, d.last_status, d.last_error,
       d.created_at, d.next_at, d.delivered_at, d.gave_up_at
"""


async def of_endpoint(
    database: Database, endpoint: str, after: LoggedDelivery | None, limit: int
) -> list[LoggedDelivery]:
    """Deliveries to one endpoint, newest first, from just after `after`."""
    return await _many(
        database,
        f"""
        {_VIEW} FROM webhook_deliveries d JOIN webhook_events e ON e.id = d.event_id
        WHERE d.endpoint = %(endpoint)s
          AND (%(after_id)s::uuid IS NULL OR (d.created_at, d.event_id) < (%(after_at)s, %(after_id)s))
        ORDER BY d.created_at DESC, d.event_id DESC LIMIT %(limit)s
        """,
        {"endpoint": endpoint, **_cursor(after), "limit": limit},
    )


async def of_callbacks(
    database: Database, tenant_id: str, object_id: str | None, after: LoggedDelivery | None, limit: int
) -> list[LoggedDelivery]:
    """Deliveries to callback addresses of a tenant, newest event first; of one object if named."""
    return await _many(
        database,
        f"""
        {_VIEW} FROM webhook_events e JOIN webhook_deliveries d ON d.event_id = e.id
        WHERE e.tenant_id = %(tenant_id)s AND e.callback_url IS NOT NULL AND left(d.endpoint, 9) = 'callback_'
          AND (%(object_id)s::text IS NULL OR e.object_id = %(object_id)s)
          AND (%(after_id)s::uuid IS NULL OR (e.created_at, e.id) <
               (SELECT created_at, id FROM webhook_events WHERE id = %(after_id)s))
        ORDER BY e.created_at DESC, e.id DESC LIMIT %(limit)s
        """,
        {"tenant_id": tenant_id, "object_id": object_id, **_cursor(after), "limit": limit},
    )


async def find(database: Database, tenant_id: str, event_id: UUID, endpoint: str | None) -> LoggedDelivery | None:
    """One delivery of a tenant's event: to this endpoint, or (None) to its callback address."""
    rows = await _many(
        database,
        f"""
        {_VIEW} FROM webhook_deliveries d JOIN webhook_events e ON e.id = d.event_id
        WHERE d.event_id = %(event_id)s AND e.tenant_id = %(tenant_id)s
          AND (d.endpoint = %(endpoint)s OR %(endpoint)s::text IS NULL AND left(d.endpoint, 9) = 'callback_')
        """,
        {"event_id": event_id, "tenant_id": tenant_id, "endpoint": endpoint},
    )
    return rows[0] if rows else None


async def redeliver(database: Database, event_id: UUID, endpoint: str) -> None:
    """Have a delivery made again, whatever became of it: due at once, with the schedule from its beginning."""
    await database.execute(
        """
        UPDATE webhook_deliveries
        SET delivered_at = NULL, gave_up_at = NULL, next_at = now(), attempts_before = attempts
        WHERE event_id = %(event_id)s AND endpoint = %(endpoint)s
        """,
        {"event_id": event_id, "endpoint": endpoint},
    )


async def insert_test(database: Database, tenant_id: str, endpoint: str, event_type: str, object_id: str) -> UUID:
    """An event for one endpoint only, tried once; returns its id. `object_id` must be of its own."""
    event_id = new_id()
    await database.execute(
        """
        WITH event AS (
            INSERT INTO webhook_events (id, tenant_id, type, object_id, fanned_out, test)
            VALUES (%(id)s, %(tenant_id)s, %(type)s, %(object_id)s, true, true) RETURNING id
        )
        INSERT INTO webhook_deliveries (event_id, endpoint) SELECT id, %(endpoint)s FROM event
        """,
        {"id": event_id, "tenant_id": tenant_id, "type": event_type, "object_id": object_id, "endpoint": endpoint},
    )
    return event_id


async def prune(database: Database, *, older_than_seconds: float, limit: int) -> int:
    """Remove up to `limit` old events whose deliveries have all ended, and these with them; returns how many events."""
    return await database.execute(
        """
        DELETE FROM webhook_events WHERE id = ANY(ARRAY(
            SELECT e.id FROM webhook_events e
            WHERE e.created_at < now() - make_interval(secs => %(age)s) AND e.fanned_out AND NOT EXISTS (
                SELECT 1 FROM webhook_deliveries d
                WHERE d.event_id = e.id AND d.delivered_at IS NULL AND d.gave_up_at IS NULL)
            ORDER BY e.created_at LIMIT %(limit)s FOR UPDATE SKIP LOCKED))
        """,
        {"age": older_than_seconds, "limit": limit},
    )


def _cursor(after: LoggedDelivery | None) -> dict[str, Any]:
    return {"after_id": after.event_id if after else None, "after_at": after.created_at if after else None}


async def _many(database: Database, query: str, params: dict[str, Any]) -> list[LoggedDelivery]:
    async with database.connection() as connection, connection.cursor(row_factory=class_row(LoggedDelivery)) as cursor:
        await cursor.execute(query, params)
        return await cursor.fetchall()
