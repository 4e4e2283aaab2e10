"""The servers of an embedded stack: those whose URL nobody gave, on one data folder."""

import asyncio
import json
import os
from dataclasses import asdict
from pathlib import Path
from types import TracebackType
from typing import Self

import psutil

from penstock.embedded.folders import DataFolder
from penstock.embedded.postgres import Postgres
from penstock.embedded.supervisor import Supervisor
from penstock.embedded.urls import STACK_FILE, Urls, as_broker
from penstock.embedded.valkey import Valkey


class EmbeddedStack:
    """The embedded servers on a data folder, for as long as the supervisor runs them.

    A URL that is given is used as it is and its server is not started. With no broker's URL the broker is the given
    Redis, else the embedded Valkey. The folder is locked from the making of this object until `close`. Usage::

        with EmbeddedStack(data) as stack:
            async with Supervisor(data) as supervisor:
                urls = await stack.start(supervisor)

    `max_connections` is that of the embedded Postgres: the sum of all pools and a few for people.

    Raises:
        ConfigError: the data folder cannot be used, or another stack runs on it.
    """

    def __init__(
        self,
        data: Path,
        *,
        database_url: str | None = None,
        redis_url: str | None = None,
        broker_url: str | None = None,
        max_connections: int = 100,
    ) -> None:
        self._database_url = database_url
        self._redis_url = redis_url
        self._broker_url = broker_url
        self._max_connections = max_connections
        self._data = DataFolder(data)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    async def start(self, supervisor: Supervisor) -> Urls:
        """Start what is needed, wait until it answers, say where it is and write that to the data folder.

        Raises:
            ConfigError: a server cannot be run here.
            Unavailable: a server did not come up; the message holds its last lines.
            StopRequested: a signal came first.
        """
        redis_url, broker_url = self._redis_url, self._broker_url
        if redis_url is None:
            valkey = Valkey(self._data)
            await asyncio.to_thread(valkey.prepare)
            await supervisor.start(valkey.child())
            redis_url, broker_url = valkey.url, broker_url or valkey.broker_url
        urls = Urls(
            database=self._database_url or await self._start_postgres(supervisor),
            redis=redis_url,
            broker=broker_url or as_broker(redis_url),
        )
        self._write(urls)
        return urls

    def close(self) -> None:
        """Forget the addresses and let go of the data folder; only after the supervisor has stopped."""
        (self._data.path / STACK_FILE).unlink(missing_ok=True)
        self._data.close()

    async def _start_postgres(self, supervisor: Supervisor) -> str:
        postgres = Postgres(self._data, max_connections=self._max_connections)
        await asyncio.to_thread(postgres.prepare)
        await supervisor.start(postgres.child())
        await postgres.create_database()
        return postgres.url

    def _write(self, urls: Urls) -> None:
        """Readable for the owner only, since URLs hold passwords; in one step, since others read it."""
        file = self._data.path / STACK_FILE
        content = {"pid": os.getpid(), "started": psutil.Process().create_time(), **asdict(urls)}
        beside = file.with_suffix(".new")
        beside.unlink(missing_ok=True)
        descriptor = os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(descriptor, "w", encoding="utf-8") as output:
            json.dump(content, output, indent=2)
        beside.replace(file)
