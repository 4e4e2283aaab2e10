"""Uploads: a file that comes in parts. Each part's bytes are chunks of their own until the upload is completed.

Completing re-labels the chunks as the file's, in the order asked for: their bytes lie apart from their rows and are not
copied, so gigabytes are joined in moments.
"""

import hashlib
from collections.abc import AsyncIterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from psycopg.rows import class_row

from penstock.errors import InvalidRequest
from penstock.ids import new_id
from penstock.store import files
from penstock.store.database import Connection, Database

#: how long parts may come: as long as the vendor's
EXPIRES_SECONDS = 3600


@dataclass(frozen=True, slots=True)
class Upload:
    """One upload; `bytes` is what its file is to have, `file_id` set once it is completed."""

    id: UUID
    tenant_id: str
    filename: str
    purpose: str
    bytes: int
    file_expires_seconds: int | None
    status: str
    created_at: datetime
    expires_at: datetime
    file_id: UUID | None


@dataclass(frozen=True, slots=True)
class UploadPart:
    """One part that came."""

    id: UUID
    upload_id: UUID
    created_at: datetime


_COLUMNS = "id, tenant_id, filename, purpose, bytes, file_expires_seconds, created_at, expires_at, file_id"
_SHOWN = f"{_COLUMNS}, CASE WHEN status = 'pending' AND expires_at < now() THEN 'expired' ELSE status END AS status"


async def create(
    database: Database, *, tenant_id: str, filename: str, purpose: str, size: int, file_expires_seconds: int | None
) -> Upload:
    """A new upload, `pending` until it is completed, cancelled or expires."""
    async with database.connection() as connection:
        found = await _one(
            connection,
            f"""
            INSERT INTO uploads (id, tenant_id, filename, purpose, bytes, file_expires_seconds, expires_at)
            VALUES (%(id)s, %(tenant_id)s, %(filename)s, %(purpose)s, %(bytes)s, %(expires)s,
                    now() + make_interval(secs => {EXPIRES_SECONDS}))
            RETURNING {_SHOWN}
            """,
            {
                "id": new_id(),
                "tenant_id": tenant_id,
                "filename": filename,
                "purpose": purpose,
                "bytes": size,
                "expires": file_expires_seconds,
            },
        )
    assert found is not None  # INSERT … RETURNING of one row
    return found


async def get(database: Database, tenant_id: str, upload_id: UUID) -> Upload | None:
    """One upload of a tenant."""
    async with database.connection() as connection:
        return await _one(
            connection,
            f"SELECT {_SHOWN} FROM uploads WHERE id = %(id)s AND tenant_id = %(tenant_id)s",
            {"id": upload_id, "tenant_id": tenant_id},
        )


async def add_part(database: Database, upload: Upload, content: AsyncIterable[bytes], max_bytes: int) -> UploadPart:
    """Store a part from a stream, in one transaction.

    Raises:
        PayloadTooLarge: it has more than `max_bytes`; nothing is kept.
        InvalidRequest: the upload takes no parts any more, or has more bytes now than it was to have.
    """
    part_id = new_id()
    async with database.transaction() as connection:
        size = await files.write_chunks(connection, part_id, content, max_bytes)
        await _lock_pending(connection, upload)
        cursor = await connection.execute(
            """
            INSERT INTO upload_parts (id, upload_id, bytes) VALUES (%(id)s, %(upload_id)s, %(bytes)s)
            RETURNING created_at,
                (SELECT coalesce(sum(bytes), 0)::bigint FROM upload_parts WHERE upload_id = %(upload_id)s) AS before
            """,
            {"id": part_id, "upload_id": upload.id, "bytes": size},
        )
        row = await cursor.fetchone()
        assert row is not None  # INSERT … RETURNING of one row
        if row["before"] + size > upload.bytes:
            raise InvalidRequest(f"The parts have more than the {upload.bytes} bytes that were announced.")
    return UploadPart(part_id, upload.id, row["created_at"])


async def complete(database: Database, upload: Upload, part_ids: Sequence[UUID], md5: str | None) -> UUID:
    """Make the file of the parts named, in that order; returns its id. Parts left out are removed.

    Raises:
        InvalidRequest: the upload is not pending, a part is not its own or named twice, or length or checksum are not
            those announced.
    """
    file_id = new_id()
    async with database.transaction() as connection:
        await _lock_pending(connection, upload)
        cursor = await connection.execute(
            "SELECT id, bytes FROM upload_parts WHERE upload_id = %(id)s", {"id": upload.id}
        )
        sizes = {row["id"]: int(row["bytes"]) for row in await cursor.fetchall()}
        if len(set(part_ids)) < len(part_ids) or any(part not in sizes for part in part_ids):
            raise InvalidRequest(
                "'part_ids' must name parts of this upload, each once.", param="part_ids", code="invalid_value"
            )
        size = sum(sizes[part] for part in part_ids)
        if size != upload.bytes:
            raise InvalidRequest(f"The parts have {size} bytes; {upload.bytes} were announced.", param="part_ids")
        await connection.execute(
            """
            WITH placed AS (
                SELECT c.file_id, c.seq, row_number() OVER (ORDER BY p.place, c.seq) - 1 AS new_seq
                FROM unnest(%(parts)s::uuid[]) WITH ORDINALITY AS p(id, place) JOIN file_chunks c ON c.file_id = p.id
            )
            UPDATE file_chunks c SET file_id = %(file_id)s, seq = p.new_seq
            FROM placed p WHERE c.file_id = p.file_id AND c.seq = p.seq
            """,
            {"parts": list(part_ids), "file_id": file_id},
        )
        if md5 is not None and await _md5(connection, file_id) != md5.lower():
            raise InvalidRequest("The checksum is not that of the parts.", param="md5", code="invalid_value")
        await connection.execute(
            """
            WITH done AS (
                UPDATE uploads SET status = 'completed', file_id = %(file_id)s WHERE id = %(id)s RETURNING *
            ), left_out AS (
                DELETE FROM file_chunks WHERE file_id IN (SELECT id FROM upload_parts WHERE upload_id = %(id)s)
            ), parts AS (
                DELETE FROM upload_parts WHERE upload_id = %(id)s
            )
            INSERT INTO files (id, tenant_id, purpose, filename, bytes, expires_at)
            SELECT file_id, tenant_id, purpose, filename, bytes,
                   now() + make_interval(secs => file_expires_seconds::float8) FROM done
            """,
            {"id": upload.id, "file_id": file_id},
        )
    return file_id


async def cancel(database: Database, upload: Upload) -> None:
    """Take no more parts; those that came are removed by `prune`.

    Raises:
        InvalidRequest: it is not pending.
    """
    async with database.transaction() as connection:
        await _lock_pending(connection, upload)
        await connection.execute("UPDATE uploads SET status = 'cancelled' WHERE id = %(id)s", {"id": upload.id})


async def prune(database: Database, limit: int) -> int:
    """Remove some chunks of parts nobody can use any more; returns how many rows went. Call again until none."""
    row = await database.fetch_one(
        """
        WITH over AS (
            SELECT p.id FROM upload_parts p JOIN uploads u ON u.id = p.upload_id
            WHERE u.status = 'cancelled' OR u.status = 'pending' AND u.expires_at < now() - interval '10 minutes'
            ORDER BY p.id LIMIT 20 FOR UPDATE OF p SKIP LOCKED
        ), chunks AS (
            SELECT file_id, seq FROM file_chunks WHERE file_id IN (SELECT id FROM over) LIMIT %(limit)s
        ), removed AS (
            DELETE FROM file_chunks c USING chunks d WHERE c.file_id = d.file_id AND c.seq = d.seq
        ), parts AS (
            DELETE FROM upload_parts
            WHERE id IN (SELECT id FROM over) AND (SELECT count(*) FROM chunks) < %(limit)s RETURNING id
        )
        SELECT ((SELECT count(*) FROM chunks) + (SELECT count(*) FROM parts))::int AS removed
        """,
        {"limit": limit},
    )
    return int(row["removed"]) if row else 0


async def _lock_pending(connection: Connection, upload: Upload) -> None:
    cursor = await connection.execute(f"SELECT {_SHOWN} FROM uploads WHERE id = %(id)s FOR UPDATE", {"id": upload.id})
    row = await cursor.fetchone()
    if row is None or row["status"] != "pending":
        raise InvalidRequest(f"The upload is {row['status'] if row else 'gone'}.")


async def _md5(connection: Connection, file_id: UUID) -> str:
    digest, sequence = hashlib.md5(usedforsecurity=False), 0
    while True:
        cursor = await connection.execute(
            "SELECT data FROM file_chunks WHERE file_id = %(id)s AND seq = %(seq)s", {"id": file_id, "seq": sequence}
        )
        row = await cursor.fetchone()
        if row is None:
            return digest.hexdigest()
        digest.update(row["data"])
        sequence += 1


async def _one(connection: Connection, query: str, params: dict[str, Any]) -> Upload | None:
    async with connection.cursor(row_factory=class_row(Upload)) as cursor:
        await cursor.execute(query, params)
        return await cursor.fetchone()
