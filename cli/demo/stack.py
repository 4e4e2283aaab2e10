"""The processes of the demo: simulated providers and `penstock up`, all gone when the demo ends, however it ends."""

import os
import re
import secrets
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import httpx
import yaml

from cli.demo.plan import DemoProvider, Secrets, configuration
from penstock.embedded.watch import FD_VARIABLE
from penstock.errors import PenstockError
from penstock.settings import child_environment

_READY_SECONDS = 90.0
_STOP_SECONDS = 60.0
_LINES_SHOWN, _COLUMNS_SHOWN = 15, 400
_LISTENING = re.compile(rb"listening on (http://\S+)")
#: what a simulated provider is like: a short wait, then tokens at a pace one can read
_SIMULATED_PACE = (
    "--latency-ms", "700", "--latency-sigma", "0.4", "--time-to-first-token-ms", "400", "--tokens-per-second", "20",
    "--answer-tokens", "60", "--charge", "actual",
)  # fmt: skip


class DemoStack:
    """Everything that runs for the demo. Use as a context manager: it starts on entry and is stopped on exit.

    `providers` say where they listen after the start. With `data` the data folder is that one and stays; without, it
    is a temporary one, which stays with `keep`, or when there was an error, for its logs.

    Raises:
        PenstockError: something did not start; the message has the last lines of its log.
    """

    def __init__(
        self, providers: Sequence[DemoProvider], keys: Secrets, webhook_url: str, data: Path | None, *, keep: bool
    ) -> None:
        self.providers = list(providers)
        self._keys = keys
        self._webhook_url = webhook_url
        self._temporary = data is None and not keep
        self.data = data or _temporary_folder()
        port, flower_port = free_ports(2)
        self.url = f"http://127.0.0.1:{port}"
        self.flower_url = f"http://127.0.0.1:{flower_port}"
        self._ports = ("--port", str(port), "--flower-port", str(flower_port))
        self._processes: list[tuple[str, subprocess.Popen[bytes]]] = []
        #: closed by our death: what we started watches the other end
        self._lifeline: tuple[int, int] | None = None

    def __enter__(self) -> "DemoStack":
        try:
            self.data.mkdir(parents=True, exist_ok=True)
            self._lifeline = os.pipe()
            for provider in self.providers:
                if provider.simulated:
                    self._spawn(provider.name, "simulate", "--port", "0", *_simulation(provider))
            self.providers = [p.at(self._address_of(p.name)) if p.simulated else p for p in self.providers]
            config = self.data / "demo.yaml"
            config.write_text(yaml.safe_dump(configuration(self.providers, self._keys, self._webhook_url)), "utf-8")
            config.chmod(0o600)
            self._spawn("up", "up", "--config", str(config), "--data", str(self.data), *self._ports)
            self._wait_for("up", self._is_ready, "is not ready")
        except BaseException as error:
            self._stop(error)
            raise
        return self

    def __exit__(self, _kind: object, error: BaseException | None, _traceback: object) -> None:
        self._stop(error)

    def ledger_of(self, provider: DemoProvider) -> dict[str, Any]:
        """What a simulated provider itself has counted."""
        address = provider.base_url.removesuffix("/v1")
        ledger: dict[str, Any] = httpx.get(f"{address}/_sim/stats", timeout=10, trust_env=False).json()
        return ledger

    def check(self) -> None:
        """Raises PenstockError when a process has ended that should run."""
        for name, process in self._processes:
            if process.poll() is not None:
                raise PenstockError(f"`{name}` ended with exit code {process.returncode}:\n{self._last_lines(name)}")

    def _spawn(self, name: str, *arguments: str) -> None:
        assert self._lifeline is not None
        reader = self._lifeline[0]
        # Whatever servers this machine's environment names, the demo has its own.
        changes = {f"PENSTOCK_{server}_URL": "" for server in ("DATABASE", "REDIS", "BROKER")}
        changes |= {"PENSTOCK_ADMIN_KEY": f"sk-admin-{secrets.token_hex(16)}", FD_VARIABLE: str(reader)}
        changes |= {"NO_PROXY": "127.0.0.1,localhost", "no_proxy": "127.0.0.1,localhost"}
        with self._log(name).open("wb") as log:
            process = subprocess.Popen(
                [sys.executable, "-m", "cli.main", *arguments],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                env=child_environment(changes),
                pass_fds=(reader,),
                start_new_session=True,  # Ctrl-C is ours: the database must not be the first to hear it
            )
        self._processes.append((name, process))

    def _address_of(self, name: str) -> str:
        self._wait_for(name, lambda: _LISTENING.search(self._log(name).read_bytes()) is not None, "does not listen")
        match = _LISTENING.search(self._log(name).read_bytes())
        assert match is not None
        return match[1].decode()

    def _wait_for(self, name: str, condition: Any, complaint: str) -> None:
        deadline = time.monotonic() + _READY_SECONDS
        while not condition():
            self.check()
            if time.monotonic() > deadline:
                raise PenstockError(f"`{name}` {complaint} after {_READY_SECONDS:.0f} s:\n{self._last_lines(name)}")
            time.sleep(0.1)

    def _is_ready(self) -> bool:
        try:
            return httpx.get(f"{self.url}/readyz", timeout=5, trust_env=False).status_code == 200
        except httpx.TransportError:
            return False

    def _stop(self, error: BaseException | None) -> None:
        """`up` first, while the providers still answer its last calls. Ctrl-C during this kills."""
        try:
            for name, process in reversed(self._processes):
                _end(name, process)
        finally:
            for _, process in self._processes:
                if process.poll() is None:
                    process.kill()
                    process.wait()
            for descriptor in self._lifeline or ():
                os.close(descriptor)
            self._processes, self._lifeline = [], None
            if self._temporary and not isinstance(error, Exception):
                shutil.rmtree(self.data, ignore_errors=True)

    def _log(self, name: str) -> Path:
        return self.data / f"demo-{name}.log"

    def _last_lines(self, name: str) -> str:
        lines = self._log(name).read_text("utf-8", "replace").strip().splitlines()[-_LINES_SHOWN:]
        return "\n".join(line[:_COLUMNS_SHOWN] for line in lines)


def _end(name: str, process: "subprocess.Popen[bytes]") -> None:
    process.terminate()
    try:
        process.wait(_STOP_SECONDS if name == "up" else 5.0)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


def _simulation(provider: DemoProvider) -> list[str]:
    return [
        "--wire-format", provider.wire_format,
        "--requests-per-minute", str(provider.requests_per_minute),
        "--tokens-per-minute", str(provider.tokens_per_minute),
        "--burst-seconds", str(provider.burst_seconds),
        *_SIMULATED_PACE,
    ]  # fmt: skip


def _temporary_folder() -> Path:
    folder = Path(tempfile.mkdtemp(prefix="penstock-demo-"))
    # Run by root, the embedded servers run as another account: it must be able to pass through.
    folder.chmod(0o711)
    return folder


def free_ports(count: int) -> list[int]:
    """Ports of this machine that nobody listens on at this moment."""
    sockets = [socket.socket() for _ in range(count)]
    try:
        for held in sockets:
            held.bind(("127.0.0.1", 0))
        return [held.getsockname()[1] for held in sockets]
    finally:
        for held in sockets:
            held.close()
