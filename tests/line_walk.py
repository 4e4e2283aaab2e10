"""Ends the lines of a flagged batch as the sweep does: one walk, a page at a time."""

from uuid import UUID

from penstock.store import open_lines
from penstock.store.database import Database


async def end_lines(database: Database, batch_id: UUID, state: str, page: int) -> int:
    """Returns how many ended."""
    total, after = 0, 0
    while True:
        ended, last = await open_lines.end_page(database, batch_id, state, after, page)
        total += ended
        if last is None:
            return total
        after = last
