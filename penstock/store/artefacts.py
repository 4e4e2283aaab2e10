"""Learnt routing policies: every version of every route is kept, and at most one of a route is active.

A document is the bytes of its JSON, as everywhere in the store; what it must hold is the business of
`penstock.routing.learnt`. Going back is making an older version active: nothing is ever written over.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from penstock.completion.encoding import dumps, loads, pack, unpack
from penstock.store.database import Connection, Database


@dataclass(frozen=True, slots=True)
class ArtefactRow:
    """A version as its readers see it: who made it, with which note, and what calibration measured (`report`)."""

    route: str
    version: int
    created_at: datetime
    active: bool
    made_by: str
    note: str
    report: dict[str, Any]


_COLUMNS = "route, version, created_at, active, made_by, note, report"


async def add(
    database: Database,
    route: str,
    document: Mapping[str, Any],
    report: Mapping[str, Any],
    *,
    made_by: str,
    note: str = "",
    activate: bool,
) -> int:
    """Store a new version, and make it the active one if told so; returns its number, one above the last.

    Raises:
        ValueError: the document or report holds a number that JSON has not.
    """
    async with database.transaction() as connection:
        await _lock(connection, route)
        cursor = await connection.execute(
            """
            INSERT INTO route_artefacts (route, version, made_by, note, document, report)
            SELECT %(route)s, coalesce(max(version), 0) + 1, %(made_by)s, %(note)s, %(document)s, %(report)s
            FROM route_artefacts WHERE route = %(route)s
            RETURNING version
            """,
            {
                "route": route,
                "made_by": made_by,
                "note": note,
                "document": pack(dumps(dict(document))),
                "report": pack(dumps(dict(report))),
            },
        )
        row = await cursor.fetchone()
        assert row is not None  # INSERT … RETURNING of one row
        version = int(row["version"])
        if activate:
            await _activate(connection, route, version)
    return version


async def activate(database: Database, route: str, version: int | None) -> bool:
    """Make a version the active one, or none (None); False when there is no such version."""
    async with database.transaction() as connection:
        await _lock(connection, route)
        return await _activate(connection, route, version)


async def versions(database: Database, route: str) -> list[ArtefactRow]:
    """Every version of a route, the newest first."""
    rows = await database.fetch(
        f"SELECT {_COLUMNS} FROM route_artefacts WHERE route = %(route)s ORDER BY version DESC", {"route": route}
    )
    return [ArtefactRow(**{**row, "report": loads(unpack(row["report"]))}) for row in rows]


async def active(database: Database) -> dict[str, int]:
    """The active version of each route that has one."""
    rows = await database.fetch("SELECT route, version FROM route_artefacts WHERE active")
    return {row["route"]: row["version"] for row in rows}


async def document(database: Database, route: str, version: int) -> dict[str, Any] | None:
    """What a version holds, None if there is no such version."""
    row = await database.fetch_one(
        "SELECT document FROM route_artefacts WHERE route = %(route)s AND version = %(version)s",
        {"route": route, "version": version},
    )
    found: dict[str, Any] | None = loads(unpack(row["document"])) if row else None
    return found


async def _lock(connection: Connection, route: str) -> None:
    """Two calibrations of one route must not take the same number, nor both be active for a moment."""
    await connection.execute(
        "SELECT pg_advisory_xact_lock(hashtextextended('route_artefacts/' || %(route)s, 0))", {"route": route}
    )


async def _activate(connection: Connection, route: str, version: int | None) -> bool:
    if version is not None:
        cursor = await connection.execute(
            "SELECT FROM route_artefacts WHERE route = %(route)s AND version = %(version)s",
            {"route": route, "version": version},
        )
        if await cursor.fetchone() is None:
            return False
    params = {"route": route, "version": version}
    await connection.execute(
        "UPDATE route_artefacts SET active = false WHERE route = %(route)s AND active"
        " AND version IS DISTINCT FROM %(version)s::int",
        params,
    )
    await connection.execute(
        "UPDATE route_artefacts SET active = true WHERE route = %(route)s AND version = %(version)s::int", params
    )
    return True
