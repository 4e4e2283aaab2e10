"""The embedded servers, for real: they keep data, refuse a second stack, survive every kill."""

import asyncio
import json
import os
import subprocess
import sys
import threading
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path

import psutil
import psycopg
import pytest
import redis
from celery import Celery
from flower.utils.broker import Broker

from penstock.embedded.folders import DataFolder
from penstock.embedded.postgres import MAJOR_VERSION
from penstock.embedded.stack import EmbeddedStack
from penstock.embedded.supervisor import Supervisor
from penstock.embedded.urls import Urls, find_running
from penstock.errors import ConfigError

_is_root = os.geteuid() == 0


@asynccontextmanager
async def running(data: Path, **options: str) -> AsyncIterator[tuple[Urls, Supervisor]]:
    with EmbeddedStack(data, **options) as stack:
        async with Supervisor(data) as supervisor:
            yield await stack.start(supervisor), supervisor


@contextmanager
def running_elsewhere(data: Path) -> Iterator[tuple[subprocess.Popen[str], str]]:
    """The stack in a process of its own, and its database's URL."""
    process = subprocess.Popen(
        [sys.executable, str(Path(__file__).with_name("stack_process.py")), str(data)],
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        assert process.stdout is not None
        lines = iter(process.stdout.readline, "")
        yield process, next(line.strip() for line in lines if line.startswith("postgresql://"))
    finally:
        process.kill()
        process.communicate()


def ask(url: str, query: str) -> object:
    with psycopg.connect(url, autocommit=True) as connection:
        cursor = connection.execute(query.encode())
        row = cursor.fetchone() if cursor.description else None
        return row and row[0]


def postmaster(data: Path) -> int:
    return int((data / "postgres" / "postmaster.pid").read_text().split("\n")[0])


async def eventually(condition: Callable[[], object]) -> object:
    """The first true answer; errors of a server that is not back yet count as no."""
    async with asyncio.timeout(60):
        while True:
            try:
                if answer := await asyncio.to_thread(condition):
                    return answer
            except (psycopg.OperationalError, redis.ConnectionError, FileNotFoundError):
                pass
            await asyncio.sleep(0.05)


async def test_a_new_folder_gets_servers_that_keep_their_data(folder: Path) -> None:
    data = folder / "new"
    async with running(data) as (urls, _):
        ask(urls.database, "CREATE TABLE kept AS SELECT 'still here' AS word")
        assert ask(urls.database, "SHOW server_encoding") == "UTF8"
        assert ask(urls.database, "SHOW listen_addresses") == ""
        assert redis.Redis.from_url(urls.redis).set("word", "gone")
    async with running(data) as (urls, _):
        assert ask(urls.database, "SELECT word FROM kept") == "still here"
        assert redis.Redis.from_url(urls.redis).get("word") is None


async def test_only_the_owner_may_look_inside(data: Path) -> None:
    async with running(data):
        modes = {name: (data / name).stat().st_mode & 0o777 for name in ("postgres", "run", "stack.json")}
        assert modes == {"postgres": 0o700, "run": 0o700, "stack.json": 0o600}
        listening = [each.laddr for each in psutil.net_connections("inet") if each.pid == postmaster(data)]
        assert listening == []


async def test_a_second_stack_on_the_same_folder_is_refused(data: Path) -> None:
    with EmbeddedStack(data), pytest.raises(ConfigError, match="another Penstock is running"):
        EmbeddedStack(data)
    EmbeddedStack(data).close()


async def test_servers_end_with_a_killed_supervisor_and_the_next_start_has_every_row(data: Path) -> None:
    with running_elsewhere(data) as (process, url):
        ask(url, "CREATE TABLE kept AS SELECT 7 AS number")
        servers = psutil.Process(process.pid).children(recursive=True)
        assert {server.name() for server in servers} >= {"postgres", "valkey-server"}
        process.kill()
        process.wait()
        async with running(data) as (urls, _):  # at once, while the old servers may still be shutting down
            assert ask(urls.database, "SELECT number FROM kept") == 7
        _, alive = psutil.wait_procs(servers, timeout=30)
        assert alive == []


async def test_sigterm_stops_everything_cleanly(data: Path) -> None:
    with running_elsewhere(data) as (process, _):
        servers = psutil.Process(process.pid).children(recursive=True)
        process.terminate()
        assert process.wait(30) == 0
        assert [server for server in servers if server.is_running()] == []
        assert not (data / "postgres" / "postmaster.pid").exists()
        assert not (data / "run").exists()


async def test_a_killed_postgres_comes_back_with_every_row(data: Path) -> None:
    async with running(data) as (urls, _):
        ask(urls.database, "CREATE TABLE kept AS SELECT 7 AS number")
        with psycopg.connect(urls.database):  # a backend that must go first
            psutil.Process(postmaster(data)).kill()
            assert await eventually(lambda: ask(urls.database, "SELECT number FROM kept")) == 7


async def test_a_killed_valkey_comes_back_at_the_same_address(data: Path) -> None:
    async with running(data) as (urls, supervisor):
        client = redis.Redis.from_url(urls.redis)
        client.set("word", "gone")
        server = psutil.Process(supervisor.pid("valkey")).children()[0]
        server.kill()
        server.wait(30)
        assert await eventually(client.ping)
        assert client.get("word") is None


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux tells a process that its parent is gone")
async def test_a_killed_guard_leaves_no_orphan_in_the_way(data: Path) -> None:
    async with running(data) as (urls, supervisor):
        server = psutil.Process(postmaster(data))
        psutil.Process(supervisor.pid("postgres")).kill()
        assert await eventually(lambda: not server.is_running())
        assert await eventually(lambda: ask(urls.database, "SELECT 1")) == 1


async def test_a_long_or_odd_path_gets_its_sockets_elsewhere(long_path: Path) -> None:
    data = long_path
    async with running(data) as (urls, _):
        assert ask(urls.database, "SELECT 1") == 1
        assert redis.Redis.from_url(urls.redis).ping()
        sockets = (data / "run").readlink()
        assert sockets.stat().st_mode & 0o777 == 0o700
    assert not sockets.exists()
    assert not (data / "run").is_symlink()


async def test_sockets_elsewhere_of_a_killed_stack_are_removed_by_the_next(long_path: Path) -> None:
    data = long_path
    with running_elsewhere(data) as (process, _):
        left = (data / "run").readlink()
        process.kill()
        process.wait()
    async with running(data):
        assert not left.exists()


@pytest.mark.parametrize("elsewhere", [True, False])
def test_a_predecessor_may_remove_its_sockets_while_they_are_cleared(folder: Path, elsewhere: bool) -> None:
    data = DataFolder(folder / ("odd, " + "long" * 20 if elsewhere else "data"))
    left = data.run
    data._run = None  # as after a kill: the folder is there, and nobody of ours knows it
    for number in range(2000):
        (left / f"valkey-{number}.sock").touch()
    remover = threading.Thread(target=lambda: [path.unlink(missing_ok=True) for path in left.glob("*.sock")])
    remover.start()
    fresh = data.run
    remover.join()
    assert list(fresh.iterdir()) == []
    assert not left.exists() or left == fresh
    data.close()


async def test_another_versions_data_is_refused_by_both_names(data: Path) -> None:
    (data / "postgres" / "PG_VERSION").write_text("16\n")
    with pytest.raises(ConfigError, match=rf"PostgreSQL 16\b.*runs PostgreSQL {MAJOR_VERSION}\b"):
        async with running(data):
            pass


async def test_a_folder_that_is_no_database_is_refused(folder: Path) -> None:
    (folder / "data" / "postgres").mkdir(parents=True)
    (folder / "data" / "postgres" / "diary").touch()
    with pytest.raises(ConfigError, match="holds no PostgreSQL database"):
        async with running(folder / "data"):
            pass


async def test_a_half_made_database_is_cleared_away(data: Path) -> None:
    (data / "postgres.new-abc").mkdir()
    async with running(data):
        assert not (data / "postgres.new-abc").exists()


@pytest.fixture
def stranger() -> Iterator[subprocess.Popen[bytes]]:
    process = subprocess.Popen(["sleep", "60"])
    yield process
    process.kill()
    process.wait()


async def test_a_pid_file_that_names_some_other_process_is_no_obstacle(
    data: Path, stranger: subprocess.Popen[bytes]
) -> None:
    """As after a restart of a container, where the same numbers come again."""
    pid_file = data / "postgres" / "postmaster.pid"
    pid_file.write_text(f"{stranger.pid}\n{data / 'postgres'}\n1700000000\n5432\n{data / 'run'}\n\n  0  0\nready\n")
    async with running(data) as (urls, _):
        assert ask(urls.database, "SELECT 1") == 1
    assert stranger.poll() is None


@pytest.mark.skipif(not _is_root, reason="only root starts servers as another user")
async def test_a_folder_closed_to_the_servers_account_is_named(folder: Path) -> None:
    (folder / "closed").mkdir(mode=0o700)
    with pytest.raises(ConfigError, match=f"{folder}/closed: the user nobody may not enter"):
        async with running(folder / "closed" / "data"):
            pass


async def test_flower_sees_the_length_of_a_queue_through_the_socket(data: Path) -> None:
    async with running(data) as (urls, _):
        app = Celery("ring", broker=urls.broker)
        for _ in range(3):
            await asyncio.to_thread(app.send_task, "ring", [1], queue="bulk")
        assert await Broker(urls.broker, broker_options={}).queues(["bulk"]) == [{"name": "bulk", "messages": 3}]
        assert redis.Redis.from_url(urls.redis).keys() == []  # neither sees the other's keys


async def test_a_single_role_finds_the_running_stack(data: Path) -> None:
    assert find_running(data) is None
    async with running(data) as (urls, _):
        assert find_running(data) == urls
    assert find_running(data) is None


@pytest.mark.parametrize("shift", [0, 3600], ids=["gone", "someone else's number"])
def test_addresses_left_by_a_killed_stack_are_not_found(folder: Path, shift: int) -> None:
    ended = subprocess.Popen(["true"])
    ended.wait()
    own = psutil.Process()
    pid, started = (own.pid, own.create_time() - shift) if shift else (ended.pid, 0.0)
    urls = {"database": "d", "redis": "r", "broker": "b"}
    (folder / "stack.json").write_text(json.dumps({"pid": pid, "started": started, **urls}))
    assert find_running(folder) is None


@pytest.mark.parametrize(
    ("redis_url", "broker_url", "expected"),
    [
        ("redis://cache:6379/3", None, "redis://cache:6379/3"),
        ("unix:///run/redis.sock?db=2", None, "redis+socket:///run/redis.sock?virtual_host=2"),
        ("redis://cache:6379/3", "amqp://rabbit/", "amqp://rabbit/"),
    ],
)
async def test_given_servers_are_used_and_not_started(
    folder: Path, redis_url: str, broker_url: str | None, expected: str
) -> None:
    options = {"database_url": "postgresql://db/penstock", "redis_url": redis_url, "broker_url": broker_url}
    async with running(folder / "data", **{name: value for name, value in options.items() if value}) as (urls, _):
        assert urls == Urls("postgresql://db/penstock", redis_url, expected)
        assert not list((folder / "data").glob("*.log"))


async def test_a_given_broker_leaves_redis_embedded(folder: Path) -> None:
    options = {"database_url": "postgresql://db/penstock", "broker_url": "amqp://rabbit/"}
    async with running(folder / "data", **options) as (urls, _):
        assert urls.broker == "amqp://rabbit/"
        assert redis.Redis.from_url(urls.redis).ping()
