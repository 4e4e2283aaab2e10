"""The end of a batch: its result files, its terminal status, its event. Safe to ask for at any time, by anybody."""

from uuid import UUID

from penstock.dialects.batch_line import LineFacts, render_line
from penstock.store import batches, jobs
from penstock.store.batches import Batch
from penstock.store.database import Database
from penstock.submission.results import line_facts

_PAGE = 5000


async def finalize_batch(database: Database, batch_id: UUID) -> bool:
    """End a batch whose lines have all ended.

    Returns:
        True when this call ended it; False when there is something left to do, or somebody else did it.
    """
    batch = await batches.begin_finalizing(database, batch_id)
    if batch is None:
        return False
    unmeasured = 0 if batch.of_messages else await _unmeasured_bytes(database, batch)
    return await batches.finalize(database, batch, unmeasured)


async def _unmeasured_bytes(database: Database, batch: Batch) -> int:
    """The length of the error lines nobody rendered before: of jobs that no worker ended."""
    size, line = 0, 0
    while True:
        rows = await batches.unmeasured_lines(database, batch.id, line, _PAGE)
        for line, job_id, custom_id, state in rows:  # noqa: B007 — the last line is where the next page begins
            if state == "failed":
                size += await _failed_bytes(database, batch, job_id)
            else:
                size += len(render_line(LineFacts.unexecuted(job_id, custom_id, state)))
        if len(rows) < _PAGE:
            return size


async def _failed_bytes(database: Database, batch: Batch, job_id: UUID) -> int:
    """Such as took down their workers: rare, so they are read one by one."""
    row = await jobs.load(database, batch.tenant_id, job_id)
    return len(render_line(line_facts(row))) if row is not None else 0
