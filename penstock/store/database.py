"""The one way to Postgres: a sized pool of psycopg connections with timeouts on everything."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import psycopg
from psycopg import AsyncConnection
from psycopg.rows import DictRow, dict_row
from psycopg_pool import AsyncConnectionPool, PoolTimeout

from penstock.errors import Unavailable, Unstorable

Connection = AsyncConnection[DictRow]

#: a statement on a hot path that takes longer than this has met a fault, not a load
STATEMENT_TIMEOUT_MS = 30_000
LOCK_TIMEOUT_MS = 10_000
IDLE_IN_TRANSACTION_MS = 60_000

#: connections per process; `max_connections` of the embedded server follows from the sum (see `penstock.embedded`)
POOL_SIZE = {"api": 8, "worker": 6, "dispatcher": 6}


class Database:
    """A pool of connections. `transaction()` commits on a clean exit and rolls back on an error."""

    def __init__(self, url: str, *, size: int, name: str) -> None:
        options = (
            f"-c statement_timeout={STATEMENT_TIMEOUT_MS} -c lock_timeout={LOCK_TIMEOUT_MS} "
            f"-c idle_in_transaction_session_timeout={IDLE_IN_TRANSACTION_MS}"
        )
        self.url = url
        self._pool: AsyncConnectionPool[Connection] = AsyncConnectionPool(
            url,
            min_size=1,
            max_size=size,
            timeout=10.0,
            open=False,
            kwargs={
                "row_factory": dict_row,
                "options": options,
                "application_name": f"penstock-{name}",
                "connect_timeout": 5,
                "keepalives_idle": 10,
                "keepalives_interval": 5,
                "keepalives_count": 3,
                "autocommit": True,
            },
        )

    async def open(self) -> None:
        """Start the pool; the first connection is made in the background."""
        await self._pool.open()

    async def close(self) -> None:
        """Close every connection."""
        await self._pool.close()

    @asynccontextmanager
    async def connection(self) -> AsyncIterator[Connection]:
        """A connection in autocommit: each statement is its own transaction.

        Raises:
            Unavailable: no connection could be had in time, or it broke; whether a statement under way happened is
                not known.
            Unstorable: a value that Postgres cannot hold.
        """
        try:
            async with self._pool.connection() as connection:
                yield connection
        except (psycopg.OperationalError, PoolTimeout) as error:
            raise Unavailable("The database cannot be reached.") from error
        except (psycopg.DataError, UnicodeEncodeError) as error:
            raise Unstorable(f"The database cannot hold a value: {type(error).__name__}.") from error

    @asynccontextmanager
    async def transaction(self) -> AsyncIterator[Connection]:
        """A connection inside one transaction. Raises as `connection`."""
        async with self.connection() as connection, connection.transaction():
            yield connection

    async def fetch(self, query: str, params: dict[str, Any] | None = None) -> list[DictRow]:
        """Run one statement, return its rows."""
        async with self.connection() as connection:
            cursor = await connection.execute(query, params)
            return await cursor.fetchall() if cursor.description else []

    async def fetch_one(self, query: str, params: dict[str, Any] | None = None) -> DictRow | None:
        """Run one statement, return its only row, if any."""
        rows = await self.fetch(query, params)
        return rows[0] if rows else None

    async def execute(self, query: str, params: dict[str, Any] | None = None) -> int:
        """Run one statement, return how many rows it touched."""
        async with self.connection() as connection:
            cursor = await connection.execute(query, params)
            return int(cursor.rowcount)

    async def ping(self) -> None:
        """Ask for nothing.

        Raises:
            Unavailable: there is no answer.
        """
        await self.fetch("SELECT 1")
