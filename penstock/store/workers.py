"""Worker heartbeats, and the leases by which one process at a time leads."""

from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from penstock.store.database import Database

#: a worker is counted as present while its last beat is younger than this
PRESENT_SECONDS = 10


@dataclass(frozen=True, slots=True)
class WorkerRow:
    """A worker process and its last heartbeat. `beat` rises by one each time; `pid` counts in `pid_space`."""

    id: UUID
    lane: str
    host: str
    pid: int
    beat: int
    beat_at: datetime
    started_at: datetime
    pid_space: str | None


async def register(
    database: Database, worker_id: UUID, lane: str, host: str, pid: int, pid_space: str | None = None
) -> None:
    """A worker process starts. Once more is harmless."""
    await database.execute(
        "INSERT INTO workers (id, lane, host, pid, pid_space)"
        " VALUES (%(id)s, %(lane)s, %(host)s, %(pid)s, %(pid_space)s) ON CONFLICT (id) DO NOTHING",
        {"id": worker_id, "lane": lane, "host": host, "pid": pid, "pid_space": pid_space},
    )


async def beat(database: Database, worker_id: UUID) -> bool:
    """One heartbeat. False: this worker was declared dead, or its row is gone."""
    touched = await database.execute(
        "UPDATE workers SET beat = beat + 1, beat_at = now() WHERE id = %(id)s AND stopped_at IS NULL",
        {"id": worker_id},
    )
    return touched == 1


async def stop(database: Database, worker_id: UUID) -> None:
    """A worker ended, or was declared dead."""
    await database.execute("UPDATE workers SET stopped_at = now() WHERE id = %(id)s", {"id": worker_id})


async def living(database: Database) -> list[WorkerRow]:
    """Workers that have not stopped, whatever their heartbeat says."""
    rows = await database.fetch(
        "SELECT id, lane, host, pid, beat, beat_at, started_at, pid_space FROM workers WHERE stopped_at IS NULL"
        " ORDER BY id"
    )
    return [WorkerRow(**row) for row in rows]


async def stopped_with_work(database: Database, limit: int) -> list[UUID]:
    """Workers that stopped and still own running jobs."""
    rows = await database.fetch(
        """
        SELECT DISTINCT j.worker_id FROM jobs j LEFT JOIN workers w ON w.id = j.worker_id
        WHERE j.state = 'running' AND (w.id IS NULL OR w.stopped_at IS NOT NULL) LIMIT %(limit)s
        """,
        {"limit": limit},
    )
    return [row["worker_id"] for row in rows]


async def present(database: Database) -> dict[str, int]:
    """How many workers of each lane beat lately."""
    rows = await database.fetch(
        """
        SELECT lane, count(*)::int AS workers FROM workers
        WHERE stopped_at IS NULL AND beat_at > now() - make_interval(secs => %(seconds)s) GROUP BY lane
        """,
        {"seconds": PRESENT_SECONDS},
    )
    return {row["lane"]: row["workers"] for row in rows}


async def hold_lease(database: Database, name: str, holder: UUID, seconds: float) -> bool:
    """Take or renew a lease; False while somebody else holds it. Time is the database's."""
    row = await database.fetch_one(
        """
        INSERT INTO leases (name, holder, expires_at)
        VALUES (%(name)s, %(holder)s, now() + make_interval(secs => %(seconds)s))
        ON CONFLICT (name) DO UPDATE SET holder = excluded.holder, expires_at = excluded.expires_at
            WHERE leases.holder = excluded.holder OR leases.expires_at < now()
        RETURNING holder
        """,
        {"name": name, "holder": holder, "seconds": seconds},
    )
    return row is not None


async def drop_lease(database: Database, name: str, holder: UUID) -> None:
    """Give a lease up before it expires, so that the next leader need not wait."""
    await database.execute(
        "DELETE FROM leases WHERE name = %(name)s AND holder = %(holder)s", {"name": name, "holder": holder}
    )
