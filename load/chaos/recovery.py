"""How long a blow was felt: by the jobs of a worker that was lost, and by a client that asks at that moment."""

import asyncio
import contextlib
import time
from collections.abc import Awaitable, Callable

import psycopg

from load.chaos.blows import connect

_LOOK = 0.5
_LIMIT = 180.0
_HELD = """
    SELECT count(*) FROM jobs WHERE state = 'running'
    AND worker_id = (SELECT id FROM workers WHERE pid = %s AND started_at <= to_timestamp(%s)
                     ORDER BY started_at DESC LIMIT 1)
"""


async def until_jobs_are_back(database_url: str, pid: int, began: float) -> float:
    """Seconds from `began` (Unix time) until the worker with that pid holds no running job any more."""
    deadline = began + _LIMIT
    while time.time() < deadline:
        with contextlib.suppress(psycopg.OperationalError, TimeoutError):
            async with asyncio.timeout(5), await connect(database_url) as connection:
                row = await (await connection.execute(_HELD, (pid, began))).fetchone()
                if row is None or row[0] == 0:
                    return time.time() - began
        await asyncio.sleep(_LOOK)
    return _LIMIT


async def until_answered(call: Callable[[], Awaitable[None]]) -> float:
    """Seconds until a client that asks now, and again whenever it is turned away, is answered."""
    began = time.monotonic()
    await call()
    return time.monotonic() - began
