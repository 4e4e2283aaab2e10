"""The flows that jobs are put into, remembered by one process: their ids never change."""

from penstock.store import flows
from penstock.store.database import Database


class FlowIds:
    """Finds or makes the flow of a pool, lane and tenant."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._known: dict[tuple[str, str, str], int] = {}

    async def of(self, pool: str, lane: str, tenant_id: str) -> int:
        """The id of a flow.

        Raises:
            Unavailable: the database cannot be reached.
        """
        key = (pool, lane, tenant_id)
        if key not in self._known:
            self._known[key] = await flows.ensure(self._database, *key)
        return self._known[key]
