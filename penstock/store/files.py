"""Files: their rows, and their bytes as chunks, so that no disk needs to be shared. Result files have no chunks."""

from collections.abc import AsyncIterable, AsyncIterator
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

from psycopg.rows import class_row

from penstock.errors import PayloadTooLarge
from penstock.ids import new_id
from penstock.store import idempotency
from penstock.store.database import Connection, Database
from penstock.store.idempotency import IdempotencyKey

#: bytes per chunk row; a page of reading holds one
CHUNK_BYTES = 1 << 20
#: what holds the requests of a message batch: no route shows such a file, and it goes when the batch ends
HIDDEN_PURPOSE = "message_batch"


@dataclass(frozen=True, slots=True)
class File:
    """One file; `batch_id` and `part` are set for a view over the results of a batch, `pruned_at` once it is empty."""

    id: UUID
    tenant_id: str
    purpose: str
    filename: str
    bytes: int
    created_at: datetime
    expires_at: datetime | None
    batch_id: UUID | None
    part: str | None
    deleted_at: datetime | None
    pruned_at: datetime | None

    @property
    def gone(self) -> str | None:
        """Why nobody can read it any more."""
        if self.deleted_at is not None:
            return "it was deleted"
        if self.expires_at is not None and self.expires_at <= datetime.now(UTC):
            return f"it expired at {self.expires_at:%Y-%m-%dT%H:%M:%SZ}"
        return "it was removed because of its age" if self.pruned_at is not None else None


_COLUMNS = ", ".join(File.__slots__)
_LIVE = (
    f"purpose <> '{HIDDEN_PURPOSE}' AND deleted_at IS NULL AND pruned_at IS NULL"
    " AND (expires_at IS NULL OR expires_at > now())"
)


async def insert(
    database: Database,
    *,
    tenant_id: str,
    purpose: str,
    filename: str,
    content: AsyncIterable[bytes],
    expires_seconds: int | None,
    max_bytes: int,
    key: IdempotencyKey | None = None,
) -> File:
    """Store a file from a stream, one chunk in memory at a time, in one transaction.

    Raises:
        PayloadTooLarge: there are more than `max_bytes`; nothing is kept.
        Repeated: the key has made a file before; this one is not stored.
        Conflict: the key came with another file before.
    """
    async with database.transaction() as connection:
        return await write(
            connection,
            tenant_id=tenant_id,
            purpose=purpose,
            filename=filename,
            content=content,
            expires_seconds=expires_seconds,
            max_bytes=max_bytes,
            key=key,
        )


async def write(
    connection: Connection,
    *,
    tenant_id: str,
    purpose: str,
    filename: str,
    content: AsyncIterable[bytes],
    expires_seconds: int | None,
    max_bytes: int,
    key: IdempotencyKey | None = None,
) -> File:
    """As `insert`, inside the caller's transaction."""
    file_id = new_id()
    size = await write_chunks(connection, file_id, content, max_bytes)
    if key is not None:
        # last, so that nobody waits while bytes still come in
        await idempotency.claim(connection, key, file_id)
    async with connection.cursor(row_factory=class_row(File)) as cursor:
        await cursor.execute(
            f"""
            INSERT INTO files (id, tenant_id, purpose, filename, bytes, expires_at)
            VALUES (%(id)s, %(tenant_id)s, %(purpose)s, %(filename)s, %(bytes)s,
                    now() + make_interval(secs => %(expires)s::float8))
            RETURNING {_COLUMNS}
            """,
            {
                "id": file_id,
                "tenant_id": tenant_id,
                "purpose": purpose,
                "filename": filename,
                "bytes": size,
                "expires": expires_seconds,
            },
        )
        file = await cursor.fetchone()
    assert file is not None  # INSERT … RETURNING of one row
    return file


async def write_chunks(connection: Connection, file_id: UUID, content: AsyncIterable[bytes], max_bytes: int) -> int:
    """Store bytes under an id, inside the caller's transaction; returns how many there were.

    Raises:
        PayloadTooLarge: more than `max_bytes`.
    """
    size = sequence = 0
    await connection.execute("SET LOCAL idle_in_transaction_session_timeout = '10min'")
    async for chunk in _rechunked(content):
        size += len(chunk)
        if size > max_bytes:
            raise PayloadTooLarge(f"The file is larger than the limit of {max_bytes} bytes.", param="file")
        await connection.execute(
            "INSERT INTO file_chunks (file_id, seq, data) VALUES (%(id)s, %(seq)s, %(data)s)",
            {"id": file_id, "seq": sequence, "data": chunk},
        )
        sequence += 1
    return size


async def get(database: Database, tenant_id: str, file_id: UUID, *, gone: bool = False) -> File | None:
    """One file of a tenant; a deleted or expired one does not exist, unless `gone` ones are asked for too."""
    found = await _many(
        database,
        f"SELECT {_COLUMNS} FROM files WHERE id = %(id)s AND tenant_id = %(tenant_id)s"
        + ("" if gone else f" AND {_LIVE}"),
        {"id": file_id, "tenant_id": tenant_id},
    )
    return found[0] if found else None


async def page(
    database: Database, tenant_id: str, *, purpose: str | None, after: File | None, limit: int, ascending: bool
) -> list[File]:
    """A tenant's files by age, from just after `after`."""
    compare, direction = (">", "ASC") if ascending else ("<", "DESC")
    return await _many(
        database,
        f"""
        SELECT {_COLUMNS} FROM files WHERE tenant_id = %(tenant_id)s AND {_LIVE}
          AND (%(purpose)s::text IS NULL OR purpose = %(purpose)s)
          AND (%(after_id)s::uuid IS NULL OR (created_at, id) {compare} (%(after_at)s, %(after_id)s))
        ORDER BY created_at {direction}, id {direction} LIMIT %(limit)s
        """,
        {
            "tenant_id": tenant_id,
            "purpose": purpose,
            "after_id": after.id if after else None,
            "after_at": after.created_at if after else None,
            "limit": limit,
        },
    )


async def delete(database: Database, tenant_id: str, file_id: UUID) -> bool:
    """Hide a file from every route; a batch made from it is not disturbed."""
    return (
        await database.execute(
            f"UPDATE files SET deleted_at = now() WHERE id = %(id)s AND tenant_id = %(tenant_id)s AND {_LIVE}",
            {"id": file_id, "tenant_id": tenant_id},
        )
        == 1
    )


async def remove(connection: Connection, file_id: UUID) -> None:
    """Remove a stored file and its bytes for good, inside the caller's transaction."""
    await connection.execute("DELETE FROM file_chunks WHERE file_id = %(id)s", {"id": file_id})
    await connection.execute("DELETE FROM files WHERE id = %(id)s", {"id": file_id})


async def size(database: Database, file_id: UUID) -> int:
    """The length of a file, also of one that was deleted after a batch was made from it."""
    row = await database.fetch_one("SELECT bytes FROM files WHERE id = %(id)s", {"id": file_id})
    return int(row["bytes"]) if row else 0


async def chunks(database: Database, file_id: UUID) -> AsyncIterator[bytes]:
    """The bytes of a stored file, a chunk per query: no transaction stays open while they are used."""
    sequence = 0
    while True:
        row = await database.fetch_one(
            "SELECT data FROM file_chunks WHERE file_id = %(id)s AND seq = %(seq)s", {"id": file_id, "seq": sequence}
        )
        if row is None:
            return
        yield row["data"]
        sequence += 1


async def _rechunked(content: AsyncIterable[bytes]) -> AsyncIterator[bytes]:
    pending = bytearray()
    async for piece in content:
        pending += piece
        while len(pending) >= CHUNK_BYTES:
            yield bytes(pending[:CHUNK_BYTES])
            del pending[:CHUNK_BYTES]
    if pending:
        yield bytes(pending)


async def _many(database: Database, query: str, params: dict[str, Any]) -> list[File]:
    async with database.connection() as connection, connection.cursor(row_factory=class_row(File)) as cursor:
        await cursor.execute(query, params)
        return await cursor.fetchall()
