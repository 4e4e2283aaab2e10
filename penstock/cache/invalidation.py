"""What is served no more: the marks of the database as one process knows them.

A worker looks for new marks once a second. An answer counts as made when its call began, so that one under way while
its tag is invalidated is not served afterwards either.
"""

import asyncio
from collections.abc import Collection, Sequence
from dataclasses import dataclass

import structlog

from penstock.errors import Unavailable
from penstock.store import cache_marks
from penstock.store.cache_marks import Mark
from penstock.store.database import Database

_SECONDS = 1.0
_log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class Kept:
    """By what an answer can be invalidated: whose it is, the names of its model, its tags."""

    tenant_id: str
    models: tuple[str, ...]
    tags: tuple[str, ...] = ()


class Marks:
    """The marks that this process knows."""

    def __init__(self, marks: Sequence[Mark] = ()) -> None:
        self._before: dict[tuple[str, str, str], float] = {}
        self.know(marks)

    def know(self, marks: Sequence[Mark]) -> None:
        """These are all there are."""
        self._before = {(mark.scope.tenant_id, mark.scope.model, mark.scope.tag): mark.before for mark in marks}

    def before(self, kept: Kept) -> float:
        """Up to when what is kept so was invalidated, in seconds since 1970; 0: never."""
        if not self._before:
            return 0.0
        names: Collection[tuple[str, str, str]] = {
            (tenant, model, tag)
            for tenant in ("", kept.tenant_id)
            for model in ("", *kept.models)
            for tag in ("", *kept.tags)
        }
        return max((self._before.get(name, 0.0) for name in names), default=0.0)

    async def look(self, database: Database) -> None:
        """Read all marks. While the database is away those that are known hold."""
        try:
            self.know(await cache_marks.load(database))
        except Unavailable as error:
            _log.warning("marks of the cache were not read", error=error.message)

    async def run(self, database: Database) -> None:
        """Look once a second, until cancelled."""
        while True:
            await asyncio.sleep(_SECONDS)
            await self.look(database)
