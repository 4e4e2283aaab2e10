"""The lines of a batch as they finish: read by their place in finishing order, so a reader can stop and go on.

A line's number comes from its batch's own counter, raised under the lock of the batch's row in the statement that ends
the line: numbers become visible in their order and without gaps. Whoever saw number N has seen all before it.
"""

import asyncio
from collections.abc import AsyncIterator
from uuid import UUID

from penstock.store import batches, jobs
from penstock.store.batches import TERMINAL, Batch
from penstock.store.database import Database
from penstock.submission.results import rendered

#: seconds between two looks at a batch of which nothing new was finished
LOOK_SECONDS = 0.5


async def finished_lines(database: Database, batch: Batch, after: int) -> AsyncIterator[bytes]:
    """The lines that had finished when `batch` was read, from just after number `after`, a page at a time."""
    while after < batch.finished:
        rows = await jobs.page_by_number(database, batch.id, after, batch.finished)
        if not rows:
            return
        async for lines in rendered(rows, numbered=True):
            yield lines
        after = rows[-1].finished_number or batch.finished


async def follow_lines(database: Database, batch_id: UUID, after: int, patience: float) -> AsyncIterator[bytes | None]:
    """As `finished_lines`, on to the end of the batch; a None for every `patience` seconds without a line."""
    silent = 0.0
    while (batch := await batches.get(database, batch_id)) is not None:
        async for page in finished_lines(database, batch, after):
            silent = 0.0
            yield page
        after = max(after, batch.finished)
        # read before the lines were: what a batch holds at its end it held when its status was seen
        if batch.status in TERMINAL:
            return
        if silent >= patience:
            silent = 0.0
            yield None
        await asyncio.sleep(LOOK_SECONDS)
        silent += LOOK_SECONDS
