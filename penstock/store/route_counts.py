"""What the answers of routes came to, counted by the hour: for people who ask whether a calibration still holds."""

from collections.abc import Mapping

from penstock.store.database import Database

#: route, version of its learnt policy (0 for none), and what was counted
Counted = tuple[str, int, str]


async def add(database: Database, counts: Mapping[Counted, float]) -> None:
    """Add to the counts of this hour.

    Raises:
        Unavailable: the database cannot be reached; whether it was added is then not known.
    """
    rows = sorted(counts)
    await database.execute(
        """
        INSERT INTO route_counts AS c (route, version, hour, name, amount)
        SELECT n.route, n.version, date_trunc('hour', now()), n.name, n.amount
        FROM unnest(%(routes)s::text[], %(versions)s::int[], %(names)s::text[], %(amounts)s::float8[])
            AS n(route, version, name, amount)
        ON CONFLICT (route, version, hour, name) DO UPDATE SET amount = c.amount + excluded.amount
        """,
        {
            "routes": [route for route, _, _ in rows],
            "versions": [version for _, version, _ in rows],
            "names": [name for _, _, name in rows],
            "amounts": [counts[row] for row in rows],
        },
    )


async def recent(database: Database, route: str, version: int, hours: float) -> dict[str, float]:
    """What was counted in the last `hours`, that of the hour at their beginning included."""
    rows = await database.fetch(
        """
        SELECT name, sum(amount) AS amount FROM route_counts
        WHERE route = %(route)s AND version = %(version)s
          AND hour > now() - make_interval(secs => %(hours)s::float8 * 3600) - interval '1 hour'
        GROUP BY name
        """,
        {"route": route, "version": version, "hours": hours},
    )
    return {row["name"]: row["amount"] for row in rows}


async def forget(database: Database, older_than_seconds: float, limit: int) -> int:
    """Remove counts of hours so long ago; returns how many."""
    return await database.execute(
        """
        DELETE FROM route_counts WHERE ctid = ANY(ARRAY(
            SELECT ctid FROM route_counts WHERE hour < now() - make_interval(secs => %(age)s)
            LIMIT %(limit)s FOR UPDATE SKIP LOCKED))
        """,
        {"age": older_than_seconds, "limit": limit},
    )
