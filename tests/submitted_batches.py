"""Batches as their tenants submit them: a file, and a batch over it."""

from collections.abc import AsyncIterator

from penstock.store import batches, files, tenants
from penstock.store.batches import Batch, NewBatch
from penstock.store.database import Database


async def submitted(
    database: Database, content: bytes, endpoint: str = "/v1/chat/completions", residency: str | None = None
) -> Batch:
    """A batch of a tenant `team` over a file of this content, not read yet; its key's data stays at `residency`."""

    async def once() -> AsyncIterator[bytes]:
        yield content

    await tenants.ensure_tenants(database, {"team": "unlimited"})
    file = await files.insert(
        database,
        tenant_id="team",
        purpose="batch",
        filename="f",
        content=once(),
        expires_seconds=None,
        max_bytes=10**9,
    )
    new = NewBatch(
        tenant_id="team", endpoint=endpoint, input_file_id=file.id, window_seconds=86400, residency=residency
    )
    return await batches.insert(database, new)


async def again(database: Database, batch: Batch) -> Batch:
    """The batch as it is now."""
    found = await batches.get(database, batch.id)
    assert found is not None
    return found
