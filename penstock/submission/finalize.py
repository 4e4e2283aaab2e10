"""The end of a batch: its result files, its terminal status, its event. Safe to ask for at any time, by anybody."""

from uuid import UUID

from penstock.dialects.batch_line import LineFacts, render_line
from penstock.store import batches
from penstock.store.batches import Batch
from penstock.store.database import Database

_PAGE = 5000


async def finalize_batch(database: Database, batch_id: UUID) -> bool:
    """End a batch whose lines have all ended.

    Returns:
        True when this call ended it; False when there is something left to do, or somebody else did it.
    """
    batch = await batches.begin_finalizing(database, batch_id)
    if batch is None:
        return False
    unexecuted = 0 if batch.of_messages else await _unexecuted_bytes(database, batch)
    return await batches.finalize(database, batch, unexecuted)


async def _unexecuted_bytes(database: Database, batch: Batch) -> int:
    """The length of the error lines of jobs that ended without a response: nobody rendered them before."""
    size, line = 0, 0
    while True:
        rows = await batches.unexecuted_custom_ids(database, batch.id, line, _PAGE)
        for line, job_id, custom_id, state in rows:  # noqa: B007 — the last line is where the next page begins
            size += len(render_line(LineFacts.unexecuted(job_id, custom_id, state)))
        if len(rows) < _PAGE:
            return size
