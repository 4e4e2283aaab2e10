"""Strikes: finds the process of a role below `penstock up`, and does to it what the schedule says."""

import asyncio
import contextlib
import signal
from dataclasses import dataclass

import psutil
import psycopg
import redis.asyncio as redis
from psycopg.rows import tuple_row

from load import cpu
from load.chaos.schedule import Blow
from penstock.embedded.urls import Urls

#: until a process that is being started again is there
_PATIENCE = 30.0
#: all but the driver's own connections
_CUT = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name LIKE 'penstock%'"
DRIVER = "chaos"


@dataclass(frozen=True, slots=True)
class Struck:
    """What was hit; `pid` is None where it was a server's data or its connections."""

    blow: Blow
    pid: int | None


class Striker:
    """Strikes one running stack. `supervisor` is the pid of `penstock up`; a freeze lasts `freeze_seconds`."""

    def __init__(self, supervisor: int, urls: Urls, freeze_seconds: float) -> None:
        self._supervisor = psutil.Process(supervisor)
        self._urls = urls
        self._freeze_seconds = freeze_seconds
        self._frozen: set[int] = set()

    async def strike(self, blow: Blow) -> Struck:
        """Do it; a freeze is over when this returns.

        Raises:
            TimeoutError: the role has no process that could be struck.
        """
        if blow.kind == "forget":
            await self._each_redis("FLUSHALL")
            return Struck(blow, None)
        if blow.kind == "cut":
            await self._cut(blow)
            return Struck(blow, None)
        process = await self._process(blow)
        if blow.kind == "freeze":
            await self._freeze(process)
        elif blow.kind == "restart":
            process.send_signal(signal.SIGTERM)
        else:
            # an immediate stop: backends go at once, nothing is written down
            process.send_signal(signal.SIGQUIT if blow.role == "postgres" else signal.SIGKILL)
        return Struck(blow, process.pid)

    async def _process(self, blow: Blow) -> psutil.Process:
        async with asyncio.timeout(_PATIENCE):
            while not (found := self._of_role(blow.role)):
                await asyncio.sleep(0.1)
        return found[int(blow.draw * len(found))]

    def _of_role(self, role: str) -> list[psutil.Process]:
        """The processes of a role that are not frozen; of Postgres its first one, which started the others."""
        found = []
        for process in self._supervisor.children(recursive=True):
            with contextlib.suppress(psutil.NoSuchProcess, psutil.ZombieProcess):
                command = process.cmdline()
                first = cpu.group_of(command) == role and (role != "postgres" or "-D" in command)
                if first and process.pid not in self._frozen and process.status() != psutil.STATUS_ZOMBIE:
                    found.append(process)
        return found

    async def _freeze(self, process: psutil.Process) -> None:
        """Stop a process with all its children; a frozen server does not even refuse connections."""
        family = [process, *process.children(recursive=True)]
        self._frozen.update(each.pid for each in family)
        for each in family:
            with contextlib.suppress(psutil.NoSuchProcess):
                each.suspend()
        try:
            await asyncio.sleep(self._freeze_seconds)
        finally:
            for each in reversed(family):
                with contextlib.suppress(psutil.NoSuchProcess):
                    each.resume()
            self._frozen.difference_update(each.pid for each in family)

    async def _cut(self, blow: Blow) -> None:
        if blow.role == "redis":
            await self._each_redis("CLIENT", "KILL", "SKIPME", "yes")
            return
        async with asyncio.timeout(_PATIENCE):
            while True:
                with contextlib.suppress(psycopg.OperationalError):
                    async with await connect(self._urls.database) as connection:
                        await connection.execute(_CUT)
                        return
                await asyncio.sleep(0.2)

    async def _each_redis(self, *command: str) -> None:
        """One of them forgets for both: FLUSHALL and CLIENT KILL are the server's, not a database's."""
        async with asyncio.timeout(_PATIENCE):
            while True:
                client = redis.Redis.from_url(self._urls.redis, socket_timeout=2, socket_connect_timeout=2)
                try:
                    await client.execute_command(*command)
                    return
                except redis.RedisError:
                    await asyncio.sleep(0.2)
                finally:
                    await client.aclose()


async def connect(url: str) -> psycopg.AsyncConnection[tuple[object, ...]]:
    """A connection of the driver's own, which no blow ends on purpose."""
    return await psycopg.AsyncConnection.connect(
        url, autocommit=True, application_name=DRIVER, connect_timeout=3, row_factory=tuple_row
    )
