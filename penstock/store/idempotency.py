"""Idempotency keys: a row per (tenant, route, key) that says which object the first request with it made.

The row is written in the transaction that makes the object, so there is never one without the other. A second request
that comes while that transaction is open waits for it on the row's unique index.
"""

from dataclasses import dataclass
from uuid import UUID

from penstock.errors import Conflict
from penstock.store.database import Connection, Database

#: a key is remembered at least so long; clients are promised a day
KEEP_HOURS = 48
_PRUNE = 1000


@dataclass(frozen=True, slots=True)
class IdempotencyKey:
    """A key as a client sent it; `body_hash` is of what it was sent with."""

    tenant_id: str
    route: str
    key: str
    body_hash: bytes


class Repeated(Exception):
    """Raised where a request was carried out before: `object_id` is what it made then. Rolls back what it began."""

    def __init__(self, object_id: UUID) -> None:
        super().__init__(f"carried out before, as {object_id.hex}")
        self.object_id = object_id


async def find(database: Database, key: IdempotencyKey) -> UUID | None:
    """The object that a key has made, None when it is new.

    Raises:
        Conflict: it came with another body then.
    """
    row = await database.fetch_one(_FIND, _params(key))
    return _same(key, row["body_hash"], row["object_id"]) if row else None


async def claim(connection: Connection, key: IdempotencyKey, object_id: UUID) -> None:
    """Tie a key to the object that this transaction makes. Waits for an open transaction with the same key.

    Raises:
        Repeated: it has made an object before.
        Conflict: and with another body.
        Unavailable: the other transaction stays open too long.
    """
    params = {**_params(key), "body_hash": key.body_hash, "object_id": object_id}
    while True:
        cursor = await connection.execute(
            """
            INSERT INTO idempotency_keys (tenant_id, route, key, body_hash, object_id)
            VALUES (%(tenant_id)s, %(route)s, %(key)s, %(body_hash)s, %(object_id)s)
            ON CONFLICT DO NOTHING
            """,
            params,
        )
        if cursor.rowcount:
            return
        row = await (await connection.execute(_FIND, params)).fetchone()
        if row is not None:
            raise Repeated(_same(key, row["body_hash"], row["object_id"]))
        # pruned between the two statements: it is new again


async def prune(database: Database) -> int:
    """Forget some keys that are old enough; returns how many. Call again until it says none."""
    return await database.execute(
        """
        DELETE FROM idempotency_keys WHERE (tenant_id, route, key) IN (
            SELECT tenant_id, route, key FROM idempotency_keys
            WHERE created_at < now() - make_interval(hours => %(hours)s)
            ORDER BY created_at LIMIT %(limit)s FOR UPDATE SKIP LOCKED)
        """,
        {"hours": KEEP_HOURS, "limit": _PRUNE},
    )


_FIND = """
    SELECT body_hash, object_id FROM idempotency_keys
    WHERE tenant_id = %(tenant_id)s AND route = %(route)s AND key = %(key)s
"""


def _params(key: IdempotencyKey) -> dict[str, str]:
    return {"tenant_id": key.tenant_id, "route": key.route, "key": key.key}


def _same(key: IdempotencyKey, body_hash: bytes, object_id: UUID) -> UUID:
    if bytes(body_hash) != key.body_hash:
        raise Conflict("This Idempotency-Key was used with another request before.", code="idempotency_conflict")
    return object_id
