"""Reading what became of jobs: their facts for a dialect to render, and result files as views over a batch."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any
from uuid import UUID

from penstock.completion.encoding import loads
from penstock.completion.outcome import Outcome
from penstock.dialects.batch_line import LineFacts, render_line
from penstock.dialects.facts import JobFacts
from penstock.errors import NotFound
from penstock.routing.router import explained
from penstock.store import batches, files, jobs
from penstock.store.database import Database
from penstock.store.files import File
from penstock.store.jobs import JobRow

#: about so many bytes of lines are sent at once
_PIECE_BYTES = 65_536


def facts_of(row: JobRow) -> JobFacts:
    """A stored job as dialects see it."""
    outcome = Outcome.from_bytes(row.result) if row.result is not None else Outcome()
    return JobFacts(
        id=row.id,
        created_at=int(row.created_at.timestamp()),
        finished_at=int(row.finished_at.timestamp()) if row.finished_at else None,
        state=row.state,
        started=row.started_at is not None,
        background=row.background,
        model=row.model,
        body=loads(row.request) if row.request is not None else {},
        result=outcome.result,
        error=outcome.error,
        embeddings=outcome.embeddings,
        routing=_routing(row, outcome),
        cache=outcome.cache,
    )


def _routing(row: JobRow, outcome: Outcome) -> dict[str, Any] | None:
    """What was decided when the job was submitted, and what became of it."""
    if row.routing is None:
        return outcome.routing
    answered_by = row.deployment if row.state == "succeeded" else None
    told = outcome.routing or {}
    return {**told, **explained(loads(row.routing)), "answered_by": told.get("answered_by") or answered_by}


async def file_content(database: Database, file: File) -> AsyncIterator[bytes]:
    """The bytes of a file, in pages; no transaction stays open while they are sent.

    Raises:
        NotFound: it was removed meanwhile. What was sent is not the whole, and must not look like it.
    """
    if file.batch_id is None or file.part is None:
        sent = 0
        async for chunk in files.chunks(database, file.id):
            sent += len(chunk)
            yield chunk
        if sent < file.bytes:
            raise NotFound("The file was removed.")
        return
    async for page in _lines(database, file.batch_id, file.part):
        yield page


async def _lines(database: Database, batch_id: UUID, part: str) -> AsyncIterator[bytes]:
    line = sent = 0
    while rows := await jobs.page_of_batch(database, batch_id, part, line):
        async for lines in rendered(rows):
            yield lines
        line = rows[-1].line or 0
        sent += len(rows)
    batch = await batches.get(database, batch_id)
    if batch is None or sent < (batch.completed if part == "output" else batch.total - batch.completed):
        raise NotFound("The file was removed.")


async def rendered(rows: list[JobRow], *, numbered: bool = False) -> AsyncIterator[bytes]:
    """The lines of jobs, some at a time: rendering takes its time, and others get their turn in between."""
    lines, size = [], 0
    for row in rows:
        line = render_line(line_facts(row), row.finished_number if numbered else None)
        lines.append(line)
        size += len(line)
        if size >= _PIECE_BYTES or row is rows[-1]:
            yield b"".join(lines)
            lines, size = [], 0
            await asyncio.sleep(0)


def line_facts(row: JobRow) -> LineFacts:
    """What the line of a job that ended tells."""
    if row.status_code is None:
        return LineFacts.unexecuted(row.id, row.custom_id or "", row.state)
    return LineFacts(custom_id=row.custom_id or "", status_code=row.status_code, dialect=row.dialect, job=facts_of(row))
