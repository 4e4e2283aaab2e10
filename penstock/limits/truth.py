"""What Postgres knows of a scope's use: the answer with which a bucket that Redis forgot is filled again."""

from collections.abc import Iterable

from penstock.limits.buckets import Scope
from penstock.store.attempts import Spent, spent_by_deployments, spent_by_tenant
from penstock.store.database import Database


class SpentBy:
    """Asks Postgres what a provider, one upstream model of it, or a tenant took lately.

    Deployments are given as (name, provider, upstream model).
    """

    def __init__(self, database: Database, deployments: Iterable[tuple[str, str, str]]) -> None:
        self._database = database
        self._deployments = list(deployments)

    async def __call__(self, scope: Scope, seconds: float) -> Spent:
        """What was spent in the last `seconds`.

        Raises:
            Unavailable: the database cannot be reached.
        """
        if scope.tenant is not None:
            return await spent_by_tenant(self._database, scope.tenant, seconds)
        names = [
            name
            for name, provider, upstream in self._deployments
            if provider == scope.provider and scope.model in (None, upstream)
        ]
        return await spent_by_deployments(self._database, names, seconds)
