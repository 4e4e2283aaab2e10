"""Anthropic's batches: taken in from a body of any size in bounded memory, and their results given out in pages."""

import asyncio
import hashlib
import tempfile
from collections.abc import AsyncIterable, AsyncIterator, Callable
from typing import IO

from penstock.completion.outcome import Outcome
from penstock.configuration import BatchesConfig
from penstock.dialects.facts import JobFacts
from penstock.dialects.message_batch_line import render_line
from penstock.errors import NotFound
from penstock.store import files, message_batches
from penstock.store.batches import Batch
from penstock.store.database import Database
from penstock.store.idempotency import IdempotencyKey
from penstock.store.message_batches import LineRow
from penstock.submission.message_requests import MessageRequests

WINDOW_SECONDS = 24 * 3600
#: bytes of requests kept in memory before they go to a temporary file
_BLOCK = 1 << 20
#: lines read per query while results are sent
_PAGE = 200


async def create(
    database: Database,
    tenant_id: str,
    body: AsyncIterable[bytes],
    limits: BatchesConfig,
    priority: int = 0,
    residency: str | None = None,
    key_for: Callable[[bytes], IdempotencyKey | None] = lambda _: None,
) -> Batch:
    """Check and store the batch whose body comes in pieces; a worker turns its requests into jobs.

    The checked requests wait in a temporary file, so a client that sends slowly holds neither memory nor a connection
    to the database; only when all of them are good are they stored, together with their batch. `key_for` makes the
    Idempotency-Key, if there is one, of a digest of the body.

    Raises:
        InvalidRequest: see `MessageRequests`; nothing is stored.
        PayloadTooLarge: likewise.
        Repeated: the key has made a batch before; this one is not stored.
        Conflict: the key came with another body before.
        Unavailable: the database cannot be reached; nothing is stored.
    """
    requests = MessageRequests(limits.max_message_requests, limits.max_message_bytes)
    digest = hashlib.sha256()
    with tempfile.SpooledTemporaryFile(max_size=_BLOCK) as spool:
        block = bytearray()
        async for piece in body:
            digest.update(piece)
            block += requests.feed(piece)
            if len(block) >= _BLOCK:
                await asyncio.to_thread(spool.write, bytes(block))
                block.clear()
        total = requests.end()
        spool.write(block)
        size = spool.tell()
        spool.seek(0)
        return await message_batches.create(
            database,
            tenant_id=tenant_id,
            content=_content(spool),
            size=size,
            total=total,
            window_seconds=WINDOW_SECONDS,
            priority=priority,
            residency=residency,
            key=key_for(digest.digest()),
        )


async def results(database: Database, batch: Batch) -> AsyncIterator[bytes]:
    """The lines of a batch that ended, in pages; no transaction stays open while they are sent.

    Raises:
        NotFound: the batch was deleted meanwhile. What was sent is not the whole, and must not look like it.
    """
    line = sent = 0
    while rows := await message_batches.lines(database, batch.id, line, _PAGE):
        yield b"".join(render_line(row.custom_id, _facts(row)) for row in rows)
        line = rows[-1].line
        sent += len(rows)
    if sent < batch.total:
        raise NotFound("The batch was deleted.")


def _facts(row: LineRow) -> JobFacts:
    """A line's job; its request, which may be large, is not needed to show its end."""
    outcome = Outcome.from_bytes(row.result) if row.result is not None else Outcome()
    return JobFacts(
        id=row.job_id,
        created_at=int(row.created_at.timestamp()),
        finished_at=int(row.finished_at.timestamp()) if row.finished_at else None,
        state=row.state,
        started=True,
        background=False,
        model=row.model,
        body={},
        result=outcome.result,
        error=outcome.error,
    )


async def _content(spool: IO[bytes]) -> AsyncIterator[bytes]:
    while block := await asyncio.to_thread(spool.read, files.CHUNK_BYTES):
        yield block
