"""The flows that jobs are put into, remembered by one process: their ids never change."""

from penstock.configuration import Config
from penstock.store import flows
from penstock.store.database import Database


class FlowIds:
    """Finds or makes the flow of a pool, lane and tenant; its weight follows the tenant's tier."""

    def __init__(self, database: Database, config: Config) -> None:
        self._database = database
        self._tiers = config.tiers
        self._known: dict[tuple[str, str, str], int] = {}

    async def of(self, pool: str, lane: str, tenant_id: str, tier: str) -> int:
        """The id of a flow.

        Raises:
            Unavailable: the database cannot be reached.
        """
        key = (pool, lane, tenant_id)
        if key not in self._known:
            weight = self._tiers[tier].weight if tier in self._tiers else 1.0
            self._known[key] = await flows.ensure(self._database, *key, weight)
        return self._known[key]
