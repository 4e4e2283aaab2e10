"""Real servers for tests: an embedded stack in a process of its own, or the external ones whose URLs are given."""

import atexit
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache, cached_property
from pathlib import Path

import psycopg
import redis

from penstock.embedded.urls import Urls, find_running
from penstock.store.schema import migrate

ROOT = Path(__file__).resolve().parents[1]
_RUN_STACK = """
import asyncio, sys
from pathlib import Path
from penstock.embedded.stack import EmbeddedStack
from penstock.embedded.supervisor import Supervisor

async def run(data):
    with EmbeddedStack(data, max_connections=200) as stack:
        async with Supervisor(data) as supervisor:
            await stack.start(supervisor)
            return await supervisor.run_until_stopped()

sys.exit(asyncio.run(run(Path(sys.argv[1]))))
"""


@dataclass(frozen=True)
class Servers:
    """Where the servers of a test session are; `database` is one on which databases may be created."""

    database: str
    redis: str
    broker: str

    @cached_property
    def template(self) -> str:
        """The URL of a database with Penstock's tables and nothing in them, which others are copies of."""
        url = self.empty_database()
        migrate(url)
        return url

    def new_database(self) -> str:
        """The URL of a database of its own with Penstock's tables."""
        return self._create(f"TEMPLATE {_name_in(self.template)}")

    def empty_database(self) -> str:
        """The URL of a database of its own without tables."""
        return self._create("")

    def drop_database(self, url: str) -> None:
        with psycopg.connect(self.database, autocommit=True) as connection:
            connection.execute(f"DROP DATABASE IF EXISTS {_name_in(url)} WITH (FORCE)")

    def empty_redis(self) -> None:
        with redis.Redis.from_url(self.redis) as client:
            client.flushdb()

    def _create(self, options: str) -> str:
        name = f"penstock_test_{os.urandom(6).hex()}"
        with psycopg.connect(self.database, autocommit=True) as connection:
            connection.execute(f"CREATE DATABASE {name} {options}")
        return _with_database(self.database, name)


@cache
def made_once() -> Path:
    """A data folder with a database of today's schema, not running: its copies start seconds sooner than a new one."""
    folder = _new_folder()
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    with _running(folder / "data") as urls:
        migrate(urls.database)
    return folder / "data"


def copy_made(target: Path) -> None:
    """A data folder of one's own, with owners and modes; its parent is there."""
    subprocess.run(["cp", "-a", "--sparse=always", str(made_once()), str(target)], check=True)


@contextmanager
def embedded() -> Iterator[Servers]:
    """An embedded stack, stopped at the end."""
    folder = _new_folder()
    copy_made(folder / "data")
    try:
        with _running(folder / "data") as urls:
            yield Servers(urls.database, urls.redis, urls.broker)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _new_folder() -> Path:
    """Short, and open to the account the servers run as when we are root; pytest's own is neither."""
    folder = Path(tempfile.mkdtemp(prefix="ptest-"))
    folder.chmod(0o755)
    return folder


@contextmanager
def _running(data: Path) -> Iterator[Urls]:
    process = subprocess.Popen([sys.executable, "-c", _RUN_STACK, str(data)], cwd=ROOT)
    try:
        deadline = time.monotonic() + 60
        while (urls := find_running(data)) is None:
            if process.poll() is not None or time.monotonic() > deadline:
                raise RuntimeError("the embedded servers did not start")
            time.sleep(0.05)
        yield urls
    finally:
        process.terminate()
        process.wait(60)


@contextmanager
def external() -> Iterator[Servers]:
    """The servers named by PENSTOCK_TEST_DATABASE_URL, _REDIS_URL and _BROKER_URL."""
    servers = Servers(
        os.environ["PENSTOCK_TEST_DATABASE_URL"],
        os.environ["PENSTOCK_TEST_REDIS_URL"],
        os.environ["PENSTOCK_TEST_BROKER_URL"],
    )
    try:
        yield servers
    finally:
        servers.drop_database(servers.template)


def _name_in(url: str) -> str:
    return psycopg.conninfo.conninfo_to_dict(url)["dbname"]


def _with_database(url: str, name: str) -> str:
    base, _, query = url.partition("?")
    head, _, _ = base.rpartition("/")
    return f"{head}/{name}" + (f"?{query}" if query else "")
