"""Batches: created, ingested, counted, ended. Only the terminal write makes result files and the webhook event."""

from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Any
from uuid import UUID

from psycopg.rows import class_row

from penstock.completion.encoding import dumps
from penstock.ids import new_id, public_id
from penstock.store import files, idempotency
from penstock.store.database import Connection, Database
from penstock.store.idempotency import IdempotencyKey

#: what the batches of Anthropic's interface name: they share this table and its sweeps, and no route
MESSAGES = "/v1/messages"
#: statuses that nothing changes any more
TERMINAL = frozenset({"completed", "failed", "expired", "cancelled"})


@dataclass(frozen=True, slots=True)
class Batch:
    """One batch and its counters; `metadata` and `errors` are JSON.

    `cost` is in US dollars, of the answers whose price is known; `unpriced` counts the others. The lowest `priority` of
    a tenant goes first. `model` is the one that all lines name, None where they name several or are not read yet.
    `late`: it is expected to end after its window has closed.
    """

    id: UUID
    tenant_id: str
    endpoint: str
    input_file_id: UUID
    window_seconds: int
    output_expires_seconds: int | None
    metadata: bytes | None
    status: str
    ending: str | None
    errors: bytes | None
    created_at: datetime
    expires_at: datetime
    in_progress_at: datetime | None
    finalizing_at: datetime | None
    completed_at: datetime | None
    failed_at: datetime | None
    expired_at: datetime | None
    cancelling_at: datetime | None
    cancelled_at: datetime | None
    ingested_to: int
    total: int
    completed: int
    failed: int
    finished: int
    output_bytes: int
    error_bytes: int
    input_tokens: int
    output_tokens: int
    cached_tokens: int
    reasoning_tokens: int
    cost: Decimal
    unpriced: int
    output_file_id: UUID | None
    error_file_id: UUID | None
    callback_url: str | None
    priority: int
    model: str | None
    estimated_completion_at: datetime | None
    late: bool
    #: since when nobody can read what became of its lines
    results_gone_at: datetime | None
    #: the tag at which its data must stay, of the key that submitted it
    residency: str | None

    @property
    def of_messages(self) -> bool:
        """Whether it came in by Anthropic's interface (`penstock.store.message_batches`): it has no files."""
        return self.endpoint == MESSAGES

    @property
    def checked(self) -> bool:
        """Whether its file was found good; no file without a request is."""
        return self.total > 0


COLUMNS = ", ".join(Batch.__slots__)
_OF_FILES = f"endpoint <> '{MESSAGES}'"


@dataclass(frozen=True, slots=True, kw_only=True)
class NewBatch:
    """A batch about to be inserted; `residency` is where the data of its lines must stay."""

    tenant_id: str
    endpoint: str
    input_file_id: UUID
    window_seconds: int
    output_expires_seconds: int | None = None
    metadata: dict[str, str] | None = None
    callback_url: str | None = None
    priority: int = 0
    residency: str | None = None


async def insert(database: Database, new: NewBatch, key: IdempotencyKey | None = None) -> Batch:
    """A new batch in status `validating`.

    Raises:
        Repeated: the key has made a batch before; this one is not stored.
        Conflict: the key came with another request before.
    """
    batch_id = new_id()
    async with database.transaction() as connection, connection.cursor(row_factory=class_row(Batch)) as cursor:
        if key is not None:
            await idempotency.claim(connection, key, batch_id)
        await cursor.execute(
            f"""
            INSERT INTO batches (id, tenant_id, endpoint, input_file_id, window_seconds, output_expires_seconds,
                                 metadata, callback_url, priority, residency, expires_at)
            VALUES (%(id)s, %(tenant_id)s, %(endpoint)s, %(input_file_id)s, %(window)s, %(output_expires)s,
                    %(metadata)s, %(callback_url)s, %(priority)s, %(residency)s,
                    now() + make_interval(secs => %(window)s))
            RETURNING {COLUMNS}
            """,
            {
                "id": batch_id,
                "tenant_id": new.tenant_id,
                "endpoint": new.endpoint,
                "input_file_id": new.input_file_id,
                "window": new.window_seconds,
                "output_expires": new.output_expires_seconds,
                "metadata": dumps(new.metadata) if new.metadata is not None else None,
                "callback_url": new.callback_url,
                "priority": new.priority,
                "residency": new.residency,
            },
        )
        batch = await cursor.fetchone()
    assert batch is not None  # INSERT … RETURNING of one row
    return batch


async def get(database: Database, batch_id: UUID, tenant_id: str | None = None) -> Batch | None:
    """One batch made from a file, of one tenant if named."""
    found = await select(
        database,
        f"SELECT {COLUMNS} FROM batches WHERE id = %(id)s AND {_OF_FILES}"
        " AND (%(tenant_id)s::text IS NULL OR tenant_id = %(tenant_id)s)",
        {"id": batch_id, "tenant_id": tenant_id},
    )
    return found[0] if found else None


async def page(database: Database, tenant_id: str, after: Batch | None, limit: int) -> list[Batch]:
    """A tenant's batches made from files, newest first, from just after `after`."""
    return await select(
        database,
        f"""
        SELECT {COLUMNS} FROM batches WHERE tenant_id = %(tenant_id)s AND {_OF_FILES}
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


async def request_cancel(database: Database, tenant_id: str, batch_id: UUID) -> bool:
    """Set the flag by which a batch ends; its lines are ended by the sweep. False: it had ended before."""
    return (
        await database.execute(
            """
            UPDATE batches SET status = 'cancelling', ending = 'cancelled', cancelling_at = now()
            WHERE id = %(id)s AND tenant_id = %(tenant_id)s AND ending IS NULL
              AND status IN ('validating', 'in_progress')
            """,
            {"id": batch_id, "tenant_id": tenant_id},
        )
        == 1
    )


async def open_batches(database: Database) -> list[Batch]:
    """Batches that need somebody's hand: to be ingested, ended or finalised."""
    return await select(
        database,
        f"""
        SELECT {COLUMNS} FROM batches
        WHERE status IN ('validating', 'in_progress', 'finalizing', 'cancelling')
          AND (status = 'validating' OR ending IS NOT NULL OR ingested_to = 0 OR finished >= total
               OR ingest_lease_until IS NOT NULL)
        ORDER BY created_at LIMIT 200
        """,
        {},
    )


async def lease_ingest(database: Database, batch_id: UUID, seconds: int) -> Batch | None:
    """Become the one who reads this batch's file, for `seconds`; None while somebody else does or it is done."""
    found = await select(
        database,
        f"""
        UPDATE batches SET ingest_lease_until = now() + make_interval(secs => %(seconds)s)
        WHERE id = %(id)s AND (ingest_lease_until IS NULL OR ingest_lease_until < now())
          AND status IN ('validating', 'in_progress', 'cancelling') AND (total = 0 OR ingested_to < total)
        RETURNING {COLUMNS}
        """,
        {"id": batch_id, "seconds": seconds},
    )
    return found[0] if found else None


async def renew_ingest(database: Database, batch_id: UUID, seconds: int) -> None:
    """Keep the lease while reading goes on."""
    await database.execute(
        "UPDATE batches SET ingest_lease_until = now() + make_interval(secs => %(seconds)s) WHERE id = %(id)s",
        {"id": batch_id, "seconds": seconds},
    )


async def end_ingest(database: Database, batch_id: UUID) -> None:
    """Give the lease back."""
    await database.execute("UPDATE batches SET ingest_lease_until = NULL WHERE id = %(id)s", {"id": batch_id})


async def fail_validation(database: Database, batch: Batch, errors: list[dict[str, Any]]) -> None:
    """End a batch whose file is wrong, also one that is being cancelled; nothing of it was executed."""
    async with database.transaction() as connection:
        cursor = await connection.execute(
            """
            UPDATE batches SET status = 'failed', failed_at = now(), errors = %(errors)s, ingest_lease_until = NULL
            WHERE id = %(id)s AND status IN ('validating', 'cancelling') AND total = 0
            """,
            {"id": batch.id, "errors": dumps(errors)},
        )
        if cursor.rowcount:
            await _add_event(connection, batch, "batch.failed")


async def start(database: Database, batch_id: UUID, total: int, model: str | None = None) -> None:
    """The file is good: its lines may be inserted. Of a batch being cancelled too: each line is to be told of."""
    await database.execute(
        """
        UPDATE batches SET total = %(total)s, model = %(model)s,
            in_progress_at = CASE status WHEN 'validating' THEN now() END,
            status = CASE status WHEN 'validating' THEN 'in_progress' ELSE status END
        WHERE id = %(id)s AND status IN ('validating', 'cancelling') AND total = 0
        """,
        {"id": batch_id, "total": total, "model": model},
    )


async def advance_ingest(connection: Connection, batch_id: UUID, old: int, new: int) -> bool:
    """Move the position in the transaction that inserts the lines; False: somebody else was here first."""
    cursor = await connection.execute(
        "UPDATE batches SET ingested_to = %(new)s WHERE id = %(id)s AND ingested_to = %(old)s",
        {"id": batch_id, "old": old, "new": new},
    )
    return cursor.rowcount == 1


async def begin_finalizing(database: Database, batch_id: UUID) -> Batch | None:
    """Claim the end of a batch whose lines have all ended; None when that is not so (any more)."""
    found = await select(
        database,
        f"""
        UPDATE batches SET
            status = CASE WHEN status = 'in_progress' AND ending IS NULL THEN 'finalizing' ELSE status END,
            finalizing_at = CASE WHEN status = 'in_progress' AND ending IS NULL THEN now() ELSE finalizing_at END
        WHERE id = %(id)s AND status IN ('in_progress', 'finalizing', 'cancelling')
          AND total > 0 AND finished >= total
        RETURNING {COLUMNS}
        """,
        {"id": batch_id},
    )
    return found[0] if found else None


async def finalize(database: Database, batch: Batch, unmeasured_bytes: int) -> bool:
    """Make the result files and end the batch, with its webhook event, in one transaction.

    `unmeasured_bytes` is the length of the error file's lines that no worker has measured. A batch of messages gets no
    files, and the one that held its requests is of no more use.

    Returns:
        False when somebody else ended it first.
    """
    status = batch.ending or "completed"
    async with database.transaction() as connection:
        cursor = await connection.execute(
            "SELECT status FROM batches WHERE id = %(id)s AND (status IN ('finalizing', 'cancelling')"
            " OR status = 'in_progress' AND ending = 'expired') FOR UPDATE",
            {"id": batch.id},
        )
        if await cursor.fetchone() is None:
            return False
        output, errors = None, None
        if batch.of_messages:
            await files.remove(connection, batch.input_file_id)
        else:
            if batch.completed:
                output = await _add_view(connection, batch, "output", batch.output_bytes)
            if batch.total > batch.completed:
                errors = await _add_view(connection, batch, "error", batch.error_bytes + unmeasured_bytes)
        await connection.execute(
            f"UPDATE batches SET status = %(status)s, {status}_at = now(), output_file_id = %(output)s,"
            " error_file_id = %(errors)s WHERE id = %(id)s",
            {"id": batch.id, "status": status, "output": output, "errors": errors},
        )
        await _add_event(connection, batch, f"batch.{status}")
    return True


async def unmeasured_lines(database: Database, batch_id: UUID, after_line: int, limit: int) -> list[Any]:
    """(line, id, custom_id, state) of jobs that ended without a worker having measured their line, in input order."""
    rows = await database.fetch(
        """
        SELECT line, id, custom_id, state FROM jobs
        WHERE batch_id = %(id)s AND line > %(after)s AND line_bytes IS NULL ORDER BY line LIMIT %(limit)s
        """,
        {"id": batch_id, "after": after_line, "limit": limit},
    )
    return [(row["line"], row["id"], row["custom_id"], row["state"]) for row in rows]


async def _add_view(connection: Connection, batch: Batch, part: str, size: int) -> UUID:
    file_id = new_id()
    await connection.execute(
        """
        INSERT INTO files (id, tenant_id, purpose, filename, bytes, batch_id, part, expires_at)
        VALUES (%(id)s, %(tenant_id)s, 'batch_output', %(filename)s, %(bytes)s, %(batch_id)s, %(part)s,
                now() + make_interval(secs => %(expires)s::float8))
        """,
        {
            "id": file_id,
            "tenant_id": batch.tenant_id,
            "filename": f"{public_id('batch_', batch.id)}_{part}.jsonl",
            "bytes": size,
            "batch_id": batch.id,
            "part": part,
            "expires": batch.output_expires_seconds,
        },
    )
    return file_id


async def _add_event(connection: Connection, batch: Batch, event_type: str) -> None:
    await connection.execute(
        """
        INSERT INTO webhook_events (id, tenant_id, type, object_id, callback_url)
        VALUES (%(id)s, %(tenant_id)s, %(type)s, %(object_id)s, %(callback_url)s)
        ON CONFLICT (object_id, type) DO NOTHING
        """,
        {
            "id": new_id(),
            "tenant_id": batch.tenant_id,
            "type": event_type,
            "object_id": public_id("msgbatch_" if batch.of_messages else "batch_", batch.id),
            "callback_url": batch.callback_url,
        },
    )


async def select(database: Database, query: str, params: dict[str, Any]) -> list[Batch]:
    """The batches a query finds; it names `COLUMNS`."""
    async with database.connection() as connection, connection.cursor(row_factory=class_row(Batch)) as cursor:
        await cursor.execute(query, params)
        return await cursor.fetchall()
