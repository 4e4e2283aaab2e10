"""Batches of Anthropic's interface: rows of `batches` that begin checked and counted, and end without files.

Whether and how a line ended is in its job; a batch's requests are a hidden file until it ends.
"""

from collections.abc import AsyncIterable
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Literal
from uuid import UUID

from psycopg.rows import class_row

from penstock.completion.encoding import unpack
from penstock.ids import new_id
from penstock.rules.lifecycle import JobState
from penstock.store import files, idempotency
from penstock.store.batches import COLUMNS, MESSAGES, Batch, select
from penstock.store.database import Database
from penstock.store.idempotency import IdempotencyKey

_LIVE = f"endpoint = '{MESSAGES}' AND deleted_at IS NULL"
_ENDED = "status IN ('completed', 'expired', 'cancelled')"


@dataclass(frozen=True, slots=True)
class LineRow:
    """What became of one request; `result` is the stored outcome, None where there is none."""

    job_id: UUID
    line: int
    custom_id: str
    model: str
    state: JobState
    created_at: datetime
    finished_at: datetime | None
    result: bytes | None


async def create(
    database: Database,
    *,
    tenant_id: str,
    content: AsyncIterable[bytes],
    size: int,
    total: int,
    window_seconds: int,
    priority: int = 0,
    residency: str | None = None,
    key: IdempotencyKey | None = None,
) -> Batch:
    """Store `total` checked requests, the lines of `content` (`size` bytes), and their batch in one transaction.

    The batch is `in_progress` at once: there is nothing left to be validated.

    Raises:
        Repeated: the key has made a batch before; nothing is stored.
        Conflict: the key came with another body before.
    """
    batch_id = new_id()
    async with database.transaction() as connection:
        if key is not None:
            await idempotency.claim(connection, key, batch_id)
        file = await files.write(
            connection,
            tenant_id=tenant_id,
            purpose=files.HIDDEN_PURPOSE,
            filename="requests.jsonl",
            content=content,
            expires_seconds=None,
            max_bytes=size,
        )
        async with connection.cursor(row_factory=class_row(Batch)) as cursor:
            await cursor.execute(
                f"""
                INSERT INTO batches (id, tenant_id, endpoint, input_file_id, window_seconds, expires_at, status,
                                     in_progress_at, total, priority, residency)
                VALUES (%(id)s, %(tenant_id)s, '{MESSAGES}', %(file_id)s, %(window)s,
                        now() + make_interval(secs => %(window)s), 'in_progress', now(), %(total)s, %(priority)s,
                        %(residency)s)
                RETURNING {COLUMNS}
                """,
                {
                    "id": batch_id,
                    "tenant_id": tenant_id,
                    "file_id": file.id,
                    "window": window_seconds,
                    "total": total,
                    "priority": priority,
                    "residency": residency,
                },
            )
            batch = await cursor.fetchone()
    assert batch is not None  # INSERT … RETURNING of one row
    return batch


async def get(database: Database, tenant_id: str, batch_id: UUID) -> Batch | None:
    """One batch of a tenant; a deleted one does not exist."""
    found = await select(
        database,
        f"SELECT {COLUMNS} FROM batches WHERE id = %(id)s AND tenant_id = %(tenant_id)s AND {_LIVE}",
        {"id": batch_id, "tenant_id": tenant_id},
    )
    return found[0] if found else None


async def page(
    database: Database, tenant_id: str, *, side: Literal["after", "before"], cursor: UUID | None, limit: int
) -> list[Batch] | None:
    """A tenant's batches, newest first: up to `limit` right after the one that `cursor` names, or right before it.

    A deleted batch can still be a cursor, so a list can be walked while what it shows is deleted.

    Returns:
        None when the tenant never had the batch that `cursor` names.
    """
    compare, direction = ("<", "DESC") if side == "after" else (">", "ASC")
    if cursor is not None and not await database.fetch_one(
        f"SELECT 1 FROM batches WHERE id = %(id)s AND tenant_id = %(tenant_id)s AND endpoint = '{MESSAGES}'",
        {"id": cursor, "tenant_id": tenant_id},
    ):
        return None
    found = await select(
        database,
        f"""
        SELECT {COLUMNS} FROM batches WHERE tenant_id = %(tenant_id)s AND {_LIVE}
          AND (%(cursor)s::uuid IS NULL
               OR (created_at, id) {compare} (SELECT created_at, id FROM batches WHERE id = %(cursor)s))
        ORDER BY created_at {direction}, id {direction} LIMIT %(limit)s
        """,
        {"tenant_id": tenant_id, "cursor": cursor, "limit": limit},
    )
    return found if side == "after" else found[::-1]


async def delete(database: Database, tenant_id: str, batch_id: UUID) -> bool:
    """Hide a batch that has ended, with its lines, which `retention.purge_lines` removes.

    Returns:
        False when it has not ended, or is not there.
    """
    return (
        await database.execute(
            f"UPDATE batches SET deleted_at = now() WHERE id = %(id)s AND tenant_id = %(tenant_id)s"
            f" AND {_LIVE} AND {_ENDED}",
            {"id": batch_id, "tenant_id": tenant_id},
        )
        == 1
    )


async def lines(database: Database, batch_id: UUID, after_line: int, limit: int) -> list[LineRow]:
    """What became of the requests after a line, in the order in which they came."""
    async with database.connection() as connection, connection.cursor(row_factory=class_row(LineRow)) as cursor:
        await cursor.execute(
            """
            SELECT j.id AS job_id, j.line, j.custom_id, j.model, j.state, j.created_at, j.finished_at,
                   r.body AS result
            FROM jobs j LEFT JOIN job_results r ON r.job_id = j.id
            WHERE j.batch_id = %(batch_id)s AND j.line > %(after)s ORDER BY j.line LIMIT %(limit)s
            """,
            {"batch_id": batch_id, "after": after_line, "limit": limit},
        )
        rows = await cursor.fetchall()
    return [replace(row, result=unpack(row.result)) if row.result is not None else row for row in rows]
