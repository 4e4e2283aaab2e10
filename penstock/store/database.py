"""The one way to Postgres: a sized pool of psycopg connections with timeouts on everything.

A server that is away, full, slow or read-only is one error, `Unavailable`, and no reason to restart: what was open to
it is thrown away, and the next call tries a new connection. Where the URL names several hosts and
`target_session_attrs=read-write`, that is how a failover is followed.
"""

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any, TypeVar

import psycopg
from psycopg import AsyncConnection
from psycopg.abc import PQGen
from psycopg.errors import IdleInTransactionSessionTimeout, ReadOnlySqlTransaction
from psycopg.rows import DictRow, dict_row
from psycopg_pool import AsyncConnectionPool, PoolTimeout

from penstock.errors import Unavailable, Unstorable

Connection = AsyncConnection[DictRow]
_Answer = TypeVar("_Answer")

#: a statement on a hot path that takes longer than this has met a fault, not a load
STATEMENT_TIMEOUT_MS = 30_000
LOCK_TIMEOUT_MS = 10_000
IDLE_IN_TRANSACTION_MS = 60_000
#: seconds after which a server that is connected says nothing and is thought frozen: its own timeouts do not run either
ANSWER_SECONDS = 35.0
#: seconds for which the pool goes on trying one connection. It doubles its pauses meanwhile: tried for long, it would
#: notice a server that is back as late again as it was away
RECONNECT_SECONDS = 5.0
#: seconds between two clearings of the pool: what broke in the same moment broke for the same reason
_CLEAR_SECONDS = 1.0

#: connections per process; `max_connections` of the embedded server follows from the sum (see `penstock.embedded`)
POOL_SIZE = {"api": 8, "worker": 6, "dispatcher": 6}


#: the server is away, full, slow, changing over or read-only
_PASSING = (psycopg.OperationalError, PoolTimeout, ReadOnlySqlTransaction, IdleInTransactionSessionTimeout)


class _BoundedConnection(AsyncConnection[DictRow]):
    """A connection on which no answer is waited for without end."""

    async def wait(self, gen: PQGen[_Answer], *args: Any, **options: Any) -> _Answer:
        try:
            async with asyncio.timeout(ANSWER_SECONDS):
                return await super().wait(gen, *args, **options)
        except TimeoutError as error:
            raise psycopg.OperationalError("the server does not answer") from error


class Database:
    """A pool of connections. `transaction()` commits on a clean exit and rolls back on an error."""

    def __init__(self, url: str, *, size: int, name: str) -> None:
        options = (
            f"-c statement_timeout={STATEMENT_TIMEOUT_MS} -c lock_timeout={LOCK_TIMEOUT_MS} "
            f"-c idle_in_transaction_session_timeout={IDLE_IN_TRANSACTION_MS}"
        )
        self.url = url
        self._cleared = 0.0
        self._pool: AsyncConnectionPool[Connection] = AsyncConnectionPool(
            url,
            connection_class=_BoundedConnection,
            reconnect_timeout=RECONNECT_SECONDS,
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
            Unavailable: no connection could be had in time, it broke, or the server could not do it now; whether a
                statement under way happened is not known.
            Unstorable: a value that Postgres cannot hold.
        """
        lost = False
        try:
            async with self._pool.connection() as connection:
                try:
                    yield connection
                except ReadOnlySqlTransaction:
                    # the server that took the old one's place may be another one: this connection will not tell
                    await connection.close()
                    raise
                finally:
                    lost = connection.closed
        except _PASSING as error:
            if lost:
                await self._clear()
            raise Unavailable("The database cannot do this at the moment.") from error
        except (psycopg.DataError, UnicodeEncodeError) as error:
            raise Unstorable(f"The database cannot hold a value: {type(error).__name__}.") from error

    @asynccontextmanager
    async def transaction(self) -> AsyncIterator[Connection]:
        """A connection inside one transaction. Raises as `connection`."""
        async with self.connection() as connection, connection.transaction():
            yield connection

    async def _clear(self) -> None:
        """One connection was lost: the idle ones were lost with it, and each would cost a caller an error."""
        now = time.monotonic()
        if now - self._cleared > _CLEAR_SECONDS:
            self._cleared = now
            await self._pool.drain()

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
